import * as v from 'valibot';
import type { Api } from './api.ts';
import { reasonOf, type Log } from './log.ts';
import { isTimeout, type PollOutcome } from './poll.ts';

const TakenJob = v.looseObject({
  id: v.pipe(v.string(), v.minLength(1)),
  // RunPod leaves an empty input out.
  input: v.optional(v.unknown()),
});
export type TakenJob = v.InferOutput<typeof TakenJob>;

export interface Taken {
  readonly outcome: PollOutcome;
  readonly jobs: readonly TakenJob[];
}

/** Asks once for up to `room` jobs. What goes wrong is logged, never thrown. */
export async function take(
  api: Api,
  { room, busy }: { readonly room: number; readonly busy: boolean },
  giveUp: AbortSignal,
  log: Log,
): Promise<Taken> {
  try {
    const { status, text } = await api.take(room, busy, giveUp);
    if (status === 200) return readJobs(text, log);
    if (status === 429) return { outcome: 'busy', jobs: [] };
    // With FlashBoot 400 is how the platform says that there is no job (rp_job.py).
    if (status === 204 || status === 400) return { outcome: 'none', jobs: [] };
    log('warn', 'taking a job was refused', { status });
  } catch (error) {
    if (isTimeout(error) || giveUp.aborted) return { outcome: 'none', jobs: [] };
    log('warn', 'taking a job failed', { reason: reasonOf(error) });
  }
  return { outcome: 'failed', jobs: [] };
}

function readJobs(text: string, log: Log): Taken {
  const json: unknown = text === '' ? [] : JSON.parse(text);
  const entries: readonly unknown[] = Array.isArray(json) ? json : [json];
  const jobs = entries.filter((entry) => v.is(TakenJob, entry));
  if (jobs.length < entries.length) {
    log('error', 'a job was handed over without its id', { count: entries.length - jobs.length });
  }
  if (jobs.length > 0) return { outcome: 'some', jobs };
  return { outcome: entries.length === 0 ? 'none' : 'failed', jobs };
}
