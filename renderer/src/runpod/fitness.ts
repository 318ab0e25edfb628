import type { Api } from './api.ts';
import { reasonOf, type Log } from './log.ts';
import { pause } from './pause.ts';

/** Checks by name, in the order they are run; one that throws makes the worker unfit. */
export type FitnessChecks = Readonly<Record<string, (signal: AbortSignal) => Promise<void>>>;

/** This machine cannot do the work; the process should end with a code other than 0. */
export class FitnessFailed extends Error {
  readonly check: string;
  constructor(check: string, reason: string) {
    super(`the fitness check ${check} failed: ${reason}`);
    this.check = check;
  }
}

/**
 * Runs the checks one after the other; returns early when the shutdown begins.
 * @param limitMs how long one check may take.
 * @throws FitnessFailed at the first that fails, once RunPod was told.
 */
export async function checkFitness(
  checks: FitnessChecks,
  { api, log, shutdown }: { readonly api: Api; readonly log: Log; readonly shutdown: AbortSignal },
  limitMs = 60_000,
): Promise<void> {
  for (const [name, check] of Object.entries(checks)) {
    const over = new AbortController();
    const signal = AbortSignal.any([shutdown, over.signal]);
    const tooLong = async () => {
      await pause(limitMs, signal);
      throw new Error(`not done after ${limitMs} ms`);
    };
    try {
      await Promise.race([check(signal), tooLong()]);
    } catch (error) {
      if (shutdown.aborted) return;
      const reason = error instanceof Error ? error.message : String(error);
      log('error', 'a fitness check failed', { check: name, reason });
      await api.unhealthy(name, reason).catch((failure: unknown) => {
        log('warn', 'RunPod was not told', { reason: reasonOf(failure) });
      });
      throw new FitnessFailed(name, reason);
    } finally {
      over.abort();
    }
  }
}
