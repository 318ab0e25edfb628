/** Seeds whose worlds broke an invariant once, and what was wrong; they run with every test. */
export const REGRESSIONS: readonly { seed: number; was: string }[] = [
  {
    seed: 1343,
    was: 'an alarm that is set to the very time at which it was lost must fire all the same',
  },
  ...[3, 21, 26, 74, 216, 263, 200].map((seed) => ({
    seed,
    was: 'an alarm lost after the end of the job must not keep what it still owes',
  })),
  { seed: 248, was: 'an object whose alarm was lost must be forgotten all the same' },
  { seed: 63, was: 'an upload that lands after the end of its job must not stay for ever' },
];
