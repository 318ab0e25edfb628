// Responsible for the lease: says that this worker lives and which jobs are still its own. It runs
// in the process that does the work, so that a lease never outlives the work.
import type { Api } from './api.ts';
import { isTaken } from './insist.ts';
import { reasonOf, type Log } from './log.ts';
import { backoff, pause } from './pause.ts';

export interface PingSetting {
  readonly api: Api;
  /** The ids of the jobs whose result is not delivered yet. */
  readonly held: () => readonly string[];
  readonly intervalMs: number;
  readonly retryMs: number;
  readonly log: Log;
}

/** Pings at each interval, and sooner after one that failed; a job must not be lost to one fault. */
export async function keepPinging(setting: PingSetting, over: AbortSignal): Promise<void> {
  const { intervalMs, retryMs } = setting;
  for (let failures = 0; !over.aborted;) {
    const startedAt = performance.now();
    failures = (await ping(setting, over)) ? 0 : failures + 1;
    const tookMs = performance.now() - startedAt;
    const leftMs = Math.max(0, intervalMs - tookMs);
    await pause(failures === 0 ? leftMs : backoff(failures - 1, retryMs, intervalMs), over);
  }
}

/** @returns whether it was taken. */
export async function ping({ api, held, log }: PingSetting, over: AbortSignal): Promise<boolean> {
  try {
    const status = await api.ping(held(), over);
    if (isTaken(status)) return true;
    log('warn', 'a ping was refused', { status });
  } catch (error) {
    if (!over.aborted) log('warn', 'a ping failed', { reason: reasonOf(error) });
  }
  return false;
}
