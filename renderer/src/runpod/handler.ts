// Responsible for the words between the worker and the code that does its jobs.
import type { Log } from './log.ts';

export interface Job {
  /** RunPod's; a job that is handed out again comes under the same one. */
  readonly id: string;
  readonly input: unknown;
}

/** Why a handler's signal aborted: RunPod no longer wants the job, or this process must end. */
export class JobAborted extends Error {
  readonly kind: 'stopped' | 'shutdown';
  constructor(kind: 'stopped' | 'shutdown') {
    super(kind === 'stopped' ? 'the job was stopped' : 'the worker is shutting down');
    this.kind = kind;
  }
}

/**
 * How a job ended. With `error` RunPod's status becomes FAILED, and the job is not tried again.
 * `refreshWorker` has RunPod reset this worker once the result is delivered.
 */
export type JobResult = { readonly refreshWorker?: boolean | undefined } & (
  | { readonly output: unknown }
  | { readonly error: string }
);

/**
 * Does one job: returns its result, or yields the chunks of a stream. What it throws ends the job
 * as `the handler failed`; the reason is in the log only, since it may carry secrets.
 */
export type Handler = (
  job: Job,
  context: JobContext,
) => Promise<JobResult> | AsyncIterable<unknown>;

export interface JobContext {
  /**
   * Aborts with a `JobAborted`; the handler must then come to its end by itself. It has aborted
   * before the handler is called when the job was handed over while the worker was ending.
   */
  readonly signal: AbortSignal;
  readonly workerId: string;
  /** RunPod's name of the GPU that the worker runs on; undefined where it names none. */
  readonly gpuType: string | undefined;
  /** Writes lines that carry the job's id. */
  readonly log: Log;
  /** Shows this at `/status` while the job runs. Returns at once; only the newest value is sent. */
  readonly progress: (value: unknown) => void;
}
