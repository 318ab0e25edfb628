/** Seeds whose worlds broke an invariant once, and what was wrong; they run with every test. */
export const REGRESSIONS: readonly { seed: number; was: string }[] = [
  ...[1791, 5015].map((seed) => ({
    seed,
    was: 'a socket that closes must not take back the lease that was granted in doubt',
  })),
  { seed: 77, was: 'a socket that closes while the object sleeps must tell what it remembers' },
  {
    seed: 157,
    was: 'an attempt that is lost in silence must not be repeated with nothing left to spend',
  },
  {
    seed: 30834,
    was: 'a late copy of a report, which ends a doubt, must not make a moving renderer look stalled',
  },
  { seed: 12589, was: 'a doubt must not put off an end that has nothing to do with it' },
  { seed: 63, was: 'progress must not be shown finer than its number tells' },
  { seed: 37, was: 'a viewer who comes back must not be given a smaller number' },
  { seed: 5, was: 'an ended job whose confirmations were lost must be let go by the sweep' },
];
