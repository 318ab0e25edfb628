/** Seeds whose worlds broke an invariant once, and what was wrong; they run with every test. */
export const REGRESSIONS: readonly { seed: number; was: string }[] = [
  {
    seed: 1343,
    was: 'an alarm that is set to the very time at which it was lost must fire all the same',
  },
  { seed: 63, was: 'an upload that lands after the end of its job must not stay for ever' },
];
