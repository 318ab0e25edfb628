// Responsible for having the handler do one job, and for what it says meanwhile: log, progress,
// stream. Must not deliver its result: that is deliver.ts.
import * as v from 'valibot';
import type { Api } from './api.ts';
import { JobAborted, type Handler, type JobContext, type JobResult } from './handler.ts';
import type { Log } from './log.ts';
import { Progress } from './progress.ts';
import { sendStream } from './stream.ts';
import type { TakenJob } from './take.ts';

const STACK_CHARS = 4000;
const refreshWorker = v.optional(v.boolean());
const Result = v.union([
  v.object({ error: v.string(), refreshWorker }),
  v.object({ output: v.unknown(), refreshWorker }),
]);

export interface RunSetting {
  readonly api: Api;
  readonly handler: Handler;
  readonly workerId: string;
  readonly gpuType: string | undefined;
  readonly log: Log;
  readonly retryMs: number;
  readonly aggregate: boolean;
  /** The handler's. */
  readonly signal: AbortSignal;
  /** Aborts when RunPod no longer wants the job. */
  readonly stopped: AbortSignal;
  readonly shutdown: AbortSignal;
}

export interface Ended {
  readonly result: JobResult;
  readonly isStream: boolean;
}

/** Does one job. Whatever goes wrong in it becomes its result. */
export async function runJob({ id, input }: TakenJob, setting: RunSetting): Promise<Ended> {
  if (input === undefined) return { result: { error: 'the job has no input' }, isStream: false };
  const { api, handler, workerId, gpuType, signal, log } = setting;
  const progress = new Progress(api, id, log);
  const context: JobContext = {
    signal,
    workerId,
    gpuType,
    log,
    progress: (value) => progress.report(value),
  };
  let isStream = false;
  try {
    const returned: unknown = await handler({ id, input }, context);
    if (isIterable(returned)) {
      isStream = true;
      const { stopped: giveUp, shutdown: hurry } = setting;
      return { isStream, result: await sendStream(id, returned, { ...setting, giveUp, hurry }) };
    }
    return { isStream, result: checked(returned) };
  } catch (error) {
    return { isStream, result: failureOf(error, log) };
  } finally {
    await progress.close();
  }
}

function isIterable(returned: unknown): returned is AsyncIterable<unknown> {
  return typeof returned === 'object' && returned !== null && Symbol.asyncIterator in returned;
}

function checked(returned: unknown): JobResult {
  const result = v.safeParse(Result, returned);
  if (result.success) return result.output;
  throw new TypeError('a handler must return { output } or { error }, or be an async iterable');
}

function failureOf(error: unknown, log: Log): JobResult {
  if (error instanceof JobAborted) return { error: error.message };
  const reason = error instanceof Error ? (error.stack ?? error.message) : String(error);
  log('error', 'the handler failed', { reason: reason.slice(0, STACK_CHARS) });
  return { error: 'the handler failed' };
}
