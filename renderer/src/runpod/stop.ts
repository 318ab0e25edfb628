import * as v from 'valibot';
import type { Api } from './api.ts';
import { reasonOf, type Log } from './log.ts';
import { isTimeout, keepPolling, type PollOutcome } from './poll.ts';

const StopList = v.object({ jobsToStop: v.array(v.string()) });

/**
 * Hears which jobs RunPod wants stopped: cancelled, or out of time. Listens all the time, also
 * between jobs: a poll that is broken off at the end of one job could swallow the stop of the next.
 */
export async function listenForStops(
  api: Api,
  stop: (jobId: string) => void,
  { log, retryMs }: { readonly log: Log; readonly retryMs: number },
  over: AbortSignal,
): Promise<void> {
  if (!api.canHearStops) {
    log('warn', 'jobs cannot be stopped: the address of job-take is not of the known form');
    return;
  }
  const ask = async (): Promise<PollOutcome> => {
    try {
      const { status, text } = await api.stops(over);
      if (status === 204) return 'none';
      if (status === 429) return 'busy';
      if (status !== 200) {
        log('warn', 'listening for stops was refused', { status });
        return 'failed';
      }
      const { jobsToStop } = v.parse(StopList, JSON.parse(text));
      for (const id of jobsToStop) stop(id);
      return jobsToStop.length > 0 ? 'some' : 'none';
    } catch (error) {
      if (over.aborted || isTimeout(error)) return 'none';
      log('warn', 'listening for stops failed', { reason: reasonOf(error) });
      return 'failed';
    }
  };
  await keepPolling(ask, retryMs, over);
}
