// Responsible for bringing a job's result to RunPod. A result is never dropped in silence: silence
// would have the job done again, or fail it without a reason.
import type { Api } from './api.ts';
import type { Job, JobResult } from './handler.ts';
import { insist, isTaken } from './insist.ts';
import type { Log } from './log.ts';
import type { Ended } from './run-job.ts';

/**
 * A result larger than this may have been refused with 400 for its size. The limits that were seen
 * or documented lie between 2 MB (runpod-python#27) and 20 MB (rp_tips.py).
 */
const LARGE_BYTES = 2_000_000;

/**
 * Is told of a result that RunPod did not take, as far as can be known: `status` is the last HTTP
 * status, 0 when there was no answer. (One that was taken, but whose answers were lost, is refused
 * from then on.) The job is held until this returns.
 */
export type OnUndelivered = (job: Job, result: JobResult, status: number) => void | Promise<void>;

export interface Delivery extends Ended {
  readonly job: Job;
  /** Whether RunPod shall reset this worker. */
  readonly stopPod: boolean;
}

export interface DeliverySetting {
  readonly api: Api;
  readonly log: Log;
  readonly retryMs: number;
  readonly onUndelivered: OnUndelivered | undefined;
  /** Aborts when RunPod no longer wants the result. */
  readonly stopped: AbortSignal;
  readonly shutdown: AbortSignal;
}

/** Sends the result until it is taken, is refused for good, or nobody wants it any more. */
export async function deliver(delivery: Delivery, setting: DeliverySetting): Promise<void> {
  const { job, result, stopPod, isStream } = delivery;
  const { api, log, retryMs, stopped, shutdown } = setting;
  const send = async (body: string) => {
    const call = (signal: AbortSignal) => api.done(job.id, body, isStream, signal);
    return await insist(call, { retryMs, giveUp: stopped, hurry: shutdown, log });
  };
  try {
    const body = bodyOf(result, stopPod, log);
    const bytes = Buffer.byteLength(body);
    const status = await send(body);
    // A stopped job has already ended for the platform, which would refuse its result.
    if (isTaken(status) || stopped.aborted) return;
    log('error', 'the result could not be delivered', { status, bytes });
    if (status === 413 || (status === 400 && bytes > LARGE_BYTES)) {
      const error = `the result of ${bytes} bytes was refused as too large (${status})`;
      await send(bodyOf({ error }, stopPod, log));
    }
    await setting.onUndelivered?.(job, result, status);
  } catch (error) {
    log('error', 'onUndelivered failed', { reason: String(error) });
  }
}

function bodyOf(result: JobResult, stopPod: boolean, log: Log): string {
  const refresh = stopPod ? { stopPod } : {};
  try {
    if (!('error' in result)) return JSON.stringify({ output: result.output ?? null, ...refresh });
    // An empty text would count as success.
    return JSON.stringify({ error: result.error || 'the job failed', ...refresh });
  } catch (error) {
    log('error', 'the result cannot be written as JSON', { reason: String(error) });
    return JSON.stringify({ error: 'the result cannot be written as JSON', ...refresh });
  }
}
