// Responsible for playing many cases, and for what a machine bears at once.
import type { Case } from './format.ts';
import { play, type PlaySetup, type Verdict } from './play.ts';

/** Cases at a time: they wait more than they work. */
const AT_ONCE = 2;

/** Plays cases side by side. @returns the verdicts in the order of the cases, each as it comes. */
export function playAll(cases: readonly Case[], setup: PlaySetup): Promise<Verdict>[] {
  const waiting = cases.map((test) => ({ test, ...Promise.withResolvers<Verdict>() }));
  const next = waiting.values();
  const work = async () => {
    for (const { test, resolve, reject } of next) await play(test, setup).then(resolve, reject);
  };
  for (let n = 0; n < AT_ONCE; n += 1) void work();
  const verdicts = waiting.map(({ promise }) => promise);
  // One that fails before its turn to be awaited must not end the process.
  void Promise.allSettled(verdicts);
  return verdicts;
}
