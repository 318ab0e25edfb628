// Responsible for being a worker of a RunPod queue: takes one job at a time, keeps its lease, hears
// that it must stop, and delivers its result. Must not know what the jobs are about.
import * as v from 'valibot';
import { readWorkerEnv, type WorkerEnv } from './env.ts';
import { log as processLog, type Log } from './log.ts';
import { backoff, pause } from './pause.ts';

const TAKE_TIMEOUT_MS = 90_000;
const DONE_TIMEOUT_MS = 30_000;
/** How long a poll may still be answered after a shutdown began, so that no job is lost in it. */
const LAST_ANSWER_MS = 300;
/** How long results are still delivered once the process is shutting down. */
const LAST_RESULT_MS = 5000;

const TakenJob = v.looseObject({ id: v.pipe(v.string(), v.minLength(1)), input: v.unknown() });
const StopList = v.object({ jobsToStop: v.array(v.string()) });

export interface Job {
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

/** What `job-done` carries: small, and `error` only when the platform itself should see a failure. */
export type JobResult = { readonly output: unknown } | { readonly error: string };

/** Does one job. What it throws becomes the job's error. */
export type Handler = (job: Job, context: JobContext) => Promise<JobResult>;
export interface JobContext {
  /** Aborts with a `JobAborted`; the handler must then come to its end by itself. */
  readonly signal: AbortSignal;
  readonly workerId: string;
  readonly log: Log;
}

export interface ServeOptions {
  readonly env?: Readonly<Record<string, string | undefined>>;
  readonly log?: Log;
  /** Begins the shutdown: no further job is taken, a running one is aborted. */
  readonly shutdown: AbortSignal;
  /** First pause after a failed call, ms; doubles with each further failure. Default 1000. */
  readonly retryMs?: number;
}

/**
 * Takes and does jobs, one after the other, until the shutdown.
 * @returns when the last job has ended and its result is delivered.
 * @throws when the environment is not a worker's.
 */
export async function serve(handler: Handler, options: ServeOptions): Promise<void> {
  const worker = new Worker(readWorkerEnv(options.env ?? process.env), handler, options);
  await worker.run();
}

/** A signal that aborts on the first SIGTERM or SIGINT; a second one ends the process at once. */
export function shutdownSignal(): AbortSignal {
  const controller = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const) {
    process.on(name, () => {
      if (controller.signal.aborted) process.exit(1);
      controller.abort();
    });
  }
  return controller.signal;
}

class Worker {
  readonly #env: WorkerEnv;
  readonly #handler: Handler;
  readonly #shutdown: AbortSignal;
  readonly #log: Log;
  readonly #retryMs: number;
  /** The jobs whose result is not delivered yet: each is in every ping, so that it stays ours. */
  readonly #held = new Set<string>();

  constructor(env: WorkerEnv, handler: Handler, options: ServeOptions) {
    this.#env = env;
    this.#handler = handler;
    this.#shutdown = options.shutdown;
    this.#log = options.log ?? processLog;
    this.#retryMs = options.retryMs ?? 1000;
  }

  async run(): Promise<void> {
    const ended = new AbortController();
    const pinging = this.#keepPinging(ended.signal);
    this.#log('info', 'worker started', { worker_id: this.#env.workerId });
    try {
      for (let failures = 0; !this.#shutdown.aborted;) {
        const startedAt = Date.now();
        const taken = await this.#take();
        failures = taken === 'failed' ? failures + 1 : 0;
        if (taken === 'failed') {
          await pause(backoff(failures - 1, this.#retryMs, 30_000), this.#shutdown);
        } else if (taken === 'busy') await pause(5 * this.#retryMs, this.#shutdown);
        else if (taken !== 'none') await this.#work(taken);
        // A server that answers "none" at once must not be asked in a tight loop.
        else if (Date.now() - startedAt < 250) await pause(this.#retryMs / 2, this.#shutdown);
      }
    } finally {
      ended.abort();
      await pinging;
    }
    this.#log('info', 'worker ended');
  }

  async #take(): Promise<Job | 'none' | 'busy' | 'failed'> {
    const giveUp = new AbortController();
    const onShutdown = () => setTimeout(() => giveUp.abort(), LAST_ANSWER_MS).unref();
    this.#shutdown.addEventListener('abort', onShutdown);
    try {
      const response = await this.#call(this.#env.takeUrl(this.#held.size > 0), {
        signal: AbortSignal.any([giveUp.signal, AbortSignal.timeout(TAKE_TIMEOUT_MS)]),
      });
      const text = await response.text();
      if (response.status === 429) return 'busy';
      // With FlashBoot 400 is how the platform says that there is no job.
      if (response.status === 204 || response.status === 400) return 'none';
      if (response.status !== 200) {
        this.#log('warn', 'taking a job was refused', { status: response.status });
        return 'failed';
      }
      const { id, input } = v.parse(TakenJob, JSON.parse(text));
      return { id, input };
    } catch (error) {
      if (isTimeout(error) || this.#shutdown.aborted) return 'none';
      this.#log('warn', 'taking a job failed', { reason: reasonOf(error) });
      return 'failed';
    } finally {
      this.#shutdown.removeEventListener('abort', onShutdown);
    }
  }

  async #work(job: Job): Promise<void> {
    this.#held.add(job.id);
    void this.#ping();
    const abort = new AbortController();
    const over = new AbortController();
    const onShutdown = () => abort.abort(new JobAborted('shutdown'));
    this.#shutdown.addEventListener('abort', onShutdown);
    const listening = this.#listenForStop(job.id, abort, over.signal);
    const startedAt = Date.now();
    this.#log('info', 'job started', { job_id: job.id });
    try {
      const result = this.#shutdown.aborted
        ? { error: 'worker shutting down' }
        : await this.#handle(job, abort.signal);
      over.abort();
      const stopped = wasStopped(abort.signal);
      const outcome = stopped ? 'stopped' : 'error' in result ? 'failed' : 'done';
      this.#log('info', 'job ended', { job_id: job.id, outcome, ms: Date.now() - startedAt });
      // The platform has already ended a stopped job and refuses its result.
      if (!stopped) await this.#deliver(job.id, result);
    } finally {
      over.abort();
      this.#shutdown.removeEventListener('abort', onShutdown);
      this.#held.delete(job.id);
      await listening;
    }
  }

  async #handle(job: Job, signal: AbortSignal): Promise<JobResult> {
    const log: Log = (level, message, fields) =>
      this.#log(level, message, { job_id: job.id, ...fields });
    try {
      return await this.#handler(job, { signal, workerId: this.#env.workerId, log });
    } catch (error) {
      log('error', 'the handler failed', { reason: reasonOf(error) });
      return { error: 'the handler failed' };
    }
  }

  /** Sends the result until it is taken or refused; the job's lease is kept meanwhile. */
  async #deliver(jobId: string, result: JobResult): Promise<void> {
    for (let attempt = 0; ; attempt += 1) {
      const status = await this.#sendResult(jobId, result);
      if (status >= 200 && status < 300) return;
      if (status >= 400 && status < 500 && status !== 429) {
        this.#log('warn', 'the result was refused', { job_id: jobId, status });
        return;
      }
      if (this.#shutdown.aborted && attempt * this.#retryMs > LAST_RESULT_MS) {
        this.#log('error', 'the result could not be delivered', { job_id: jobId, status });
        return;
      }
      await pause(
        this.#shutdown.aborted ? this.#retryMs : backoff(attempt, this.#retryMs, 15_000),
        this.#shutdown.aborted ? undefined : this.#shutdown,
      );
    }
  }

  /** @returns the HTTP status, or 0 when there was no answer. */
  async #sendResult(jobId: string, result: JobResult): Promise<number> {
    try {
      const response = await this.#call(this.#env.doneUrl(jobId), {
        method: 'POST',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          charset: 'utf-8',
          'x-request-id': jobId,
        },
        body: JSON.stringify(result),
        signal: AbortSignal.timeout(DONE_TIMEOUT_MS),
      });
      await response.body?.cancel();
      return response.status;
    } catch (error) {
      this.#log('warn', 'delivering a result failed', { job_id: jobId, reason: reasonOf(error) });
      return 0;
    }
  }

  async #listenForStop(jobId: string, abort: AbortController, over: AbortSignal): Promise<void> {
    for (let failures = 0; !over.aborted && !abort.signal.aborted;) {
      const startedAt = Date.now();
      try {
        const response = await this.#call(this.#env.stopUrl(), {
          signal: AbortSignal.any([over, AbortSignal.timeout(TAKE_TIMEOUT_MS)]),
        });
        const text = await response.text();
        const stops = response.status === 200 ? v.parse(StopList, JSON.parse(text)).jobsToStop : [];
        if (stops.includes(jobId)) abort.abort(new JobAborted('stopped'));
        failures = response.status === 200 || response.status === 204 ? 0 : failures + 1;
      } catch (error) {
        if (over.aborted) return;
        failures = isTimeout(error) ? 0 : failures + 1;
      }
      if (failures > 0) await pause(backoff(failures - 1, this.#retryMs, 10_000), over);
      else if (Date.now() - startedAt < 250) await pause(this.#retryMs / 2, over);
    }
  }

  async #keepPinging(ended: AbortSignal): Promise<void> {
    while (!ended.aborted) {
      void this.#ping();
      await pause(this.#env.pingIntervalMs, ended);
    }
  }

  async #ping(): Promise<void> {
    try {
      const response = await this.#call(this.#env.pingUrl([...this.#held]), {
        signal: AbortSignal.timeout(2 * this.#env.pingIntervalMs),
      });
      await response.body?.cancel();
      if (!response.ok) this.#log('warn', 'a ping was refused', { status: response.status });
    } catch (error) {
      this.#log('warn', 'a ping failed', { reason: reasonOf(error) });
    }
  }

  async #call(url: URL, init: RequestInit): Promise<Response> {
    const headers = new Headers(init.headers);
    headers.set('authorization', this.#env.apiKey);
    return await fetch(url, { ...init, redirect: 'error', headers });
  }
}

function wasStopped(signal: AbortSignal): boolean {
  return signal.reason instanceof JobAborted && signal.reason.kind === 'stopped';
}

function isTimeout(error: unknown): boolean {
  return error instanceof Error && error.name === 'TimeoutError';
}

/** What went wrong with a call, without its address: addresses may carry secrets. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  const cause: unknown = error.cause;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
  return code ?? error.name;
}
