import { backoff, pause } from './pause.ts';

/** How a poll ended: with something, with nothing, asked too often, or without a usable answer. */
export type PollOutcome = 'some' | 'none' | 'busy' | 'failed';

/** "Nothing" that comes faster than this, ms, was no long poll; it must not become a tight loop. */
const QUICK_MS = 250;

/** Asks again and again until it is over: at once, or after a pause where the outcome wants one. */
export async function keepPolling(
  ask: () => Promise<PollOutcome>,
  retryMs: number,
  over: AbortSignal,
): Promise<void> {
  for (let failures = 0; !over.aborted;) {
    const startedAt = performance.now();
    const outcome = await ask();
    failures = outcome === 'failed' ? failures + 1 : 0;
    const isQuick = performance.now() - startedAt < QUICK_MS;
    if (failures > 0) await pause(backoff(failures - 1, retryMs, 30 * retryMs), over);
    // Five seconds by default, as the Python worker waits (rp_scale.py).
    else if (outcome === 'busy') await pause((5 + Math.random()) * retryMs, over);
    else if (outcome === 'none' && isQuick) await pause(retryMs / 2, over);
  }
}

/** Whether a call ended because its time was up, which a long poll does now and then. */
export function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError';
}
