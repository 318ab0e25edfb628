// Responsible for being a worker of a RunPod queue: takes jobs, keeps them its own, ends in order.
// Must not know what the jobs are about.
import { Api } from './api.ts';
import { deliver, type OnUndelivered } from './deliver.ts';
import { readWorkerEnv, type WorkerEnv } from './env.ts';
import { checkFitness, type FitnessChecks } from './fitness.ts';
import { JobAborted, type Handler, type JobResult } from './handler.ts';
import { log as processLog, type Log } from './log.ts';
import { abortLater } from './pause.ts';
import { keepPinging, ping, type PingSetting } from './ping.ts';
import { keepPolling, type PollOutcome } from './poll.ts';
import { runJob } from './run-job.ts';
import { shutdownSignal } from './shutdown.ts';
import { listenForStops } from './stop.ts';
import { take, type TakenJob } from './take.ts';

/** How long a poll may still be answered after the end began, so that no job is lost in it, ms. */
const LAST_ANSWER_MS = 300;

export interface ServeOptions {
  /** Default `process.env`. */
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Default: lines of JSON on standard output. */
  readonly log?: Log;
  /** Begins the shutdown: no further job is taken, running ones are aborted. Default: SIGTERM, SIGINT. */
  readonly shutdown?: AbortSignal;
  /** How long running jobs may go on after the shutdown began, before they are aborted, ms. Default 0. */
  readonly drainMs?: number;
  /** How many jobs are held at once; a function is asked before each take, with its last answer. Default 1. */
  readonly concurrency?: number | ((current: number) => number);
  /** Run before the first job is taken. */
  readonly fitness?: FitnessChecks;
  /** Has RunPod reset this worker after every job, as `refreshWorker` of a result does after one. */
  readonly refreshWorker?: boolean;
  /** Whether the result of a stream repeats all its chunks. Default false. */
  readonly returnAggregateStream?: boolean;
  readonly onUndelivered?: OnUndelivered;
  /** First pause after a failed call, ms; doubles with each further failure. Default 1000. */
  readonly retryMs?: number;
}

/**
 * Takes and does jobs until the shutdown, or until a result asked for a fresh worker.
 * @returns when the last job has ended and its result is delivered.
 * @throws when the environment is not a worker's; FitnessFailed.
 */
export async function serve(handler: Handler, options: ServeOptions = {}): Promise<void> {
  const env = readWorkerEnv(options.env ?? process.env);
  await new Worker(env, handler, options).run();
}

interface HeldJob {
  readonly id: string;
  readonly stop: AbortController;
  readonly ended: Promise<void>;
}

class Worker {
  readonly #env: WorkerEnv;
  readonly #api: Api;
  readonly #handler: Handler;
  readonly #options: ServeOptions;
  readonly #shutdown: AbortSignal;
  readonly #log: Log;
  readonly #retryMs: number;
  readonly #pinging: PingSetting;
  /** The jobs whose result is not delivered yet: each is in every ping, so that it stays ours. */
  readonly #held = new Set<HeldJob>();
  /** Aborts when no further job shall be taken. */
  readonly #leaving = new AbortController();
  /** Aborts when nothing is left to do. */
  readonly #ended = new AbortController();
  #concurrency = 1;
  /** How many handlers have not come to their end. */
  #working = 0;
  #refreshing = false;

  constructor(env: WorkerEnv, handler: Handler, options: ServeOptions) {
    this.#env = env;
    this.#api = new Api(env);
    this.#handler = handler;
    this.#options = options;
    this.#shutdown = options.shutdown ?? shutdownSignal();
    this.#log = options.log ?? processLog;
    this.#retryMs = options.retryMs ?? 1000;
    this.#pinging = {
      api: this.#api,
      held: () => [...new Set([...this.#held].map(({ id }) => id))],
      intervalMs: env.pingIntervalMs,
      retryMs: this.#retryMs,
      log: this.#log,
    };
  }

  async run(): Promise<void> {
    const common = { api: this.#api, log: this.#log, shutdown: this.#shutdown };
    await checkFitness(this.#options.fitness ?? {}, common);
    if (this.#shutdown.aborted) return;
    const leave = () => this.#leaving.abort();
    this.#shutdown.addEventListener('abort', leave, { signal: this.#ended.signal });
    const duties = [keepPinging(this.#pinging, this.#ended.signal), this.#listenForStops()];
    this.#log('info', 'worker started', { worker_id: this.#env.workerId });
    try {
      await keepPolling(() => this.#takeSome(), this.#retryMs, this.#leaving.signal);
      await Promise.all([...this.#held].map(({ ended }) => ended));
    } finally {
      this.#ended.abort();
      await Promise.all(duties);
    }
    this.#log('info', 'worker ended');
  }

  async #listenForStops(): Promise<void> {
    const stop = (jobId: string) => {
      for (const job of this.#held) {
        if (job.id === jobId) job.stop.abort(new JobAborted('stopped'));
      }
    };
    const setting = { log: this.#log, retryMs: this.#retryMs };
    await listenForStops(this.#api, stop, setting, this.#ended.signal);
  }

  async #takeSome(): Promise<PollOutcome> {
    const room = await this.#waitForRoom();
    if (this.#leaving.signal.aborted) return 'none';
    const over = new AbortController();
    const giveUp = abortLater(this.#leaving.signal, LAST_ANSWER_MS, over.signal);
    const want = { room, busy: this.#held.size > 0 };
    const { outcome, jobs } = await take(this.#api, want, giveUp, this.#log);
    over.abort();
    for (const job of jobs) this.#start(job);
    // At once, since the lease of a job runs from when it was handed over.
    if (jobs.length > 0) void ping(this.#pinging, this.#ended.signal);
    return outcome;
  }

  async #waitForRoom(): Promise<number> {
    const { concurrency = 1 } = this.#options;
    for (;;) {
      const wanted = typeof concurrency === 'number' ? concurrency : concurrency(this.#concurrency);
      this.#concurrency = Math.max(1, Math.floor(wanted) || 1);
      const room = this.#concurrency - this.#held.size;
      if (room > 0) return room;
      await Promise.race([...this.#held].map(({ ended }) => ended));
    }
  }

  #start(taken: TakenJob): void {
    this.#working += 1;
    const stop = new AbortController();
    const ended = this.#work(taken, stop.signal).finally(() => this.#held.delete(job));
    const job: HeldJob = { id: taken.id, stop, ended };
    this.#held.add(job);
  }

  async #work(taken: TakenJob, stopped: AbortSignal): Promise<void> {
    const { id, input } = taken;
    const over = new AbortController();
    const startedAt = performance.now();
    const log: Log = (level, message, fields) =>
      this.#log(level, message, { requestId: id, ...fields });
    log('info', 'job started');
    const common = {
      api: this.#api,
      log,
      retryMs: this.#retryMs,
      stopped,
      shutdown: this.#shutdown,
    };
    const ended = await runJob(taken, {
      ...common,
      handler: this.#handler,
      workerId: this.#env.workerId,
      gpuType: this.#env.gpuType,
      aggregate: this.#options.returnAggregateStream ?? false,
      signal: AbortSignal.any([stopped, this.#abortOnShutdown(over.signal)]),
    });
    over.abort();
    const stopPod = this.#noteEnd(ended.result);
    const outcome = stopped.aborted ? 'stopped' : 'error' in ended.result ? 'failed' : 'done';
    log('info', 'job ended', { outcome, ms: Math.round(performance.now() - startedAt) });
    const { onUndelivered } = this.#options;
    await deliver({ ...ended, job: { id, input }, stopPod }, { ...common, onUndelivered });
  }

  /** A job that arrives while the worker ends is aborted from the start; a running one may drain. */
  #abortOnShutdown(over: AbortSignal): AbortSignal {
    const reason = new JobAborted('shutdown');
    if (this.#leaving.signal.aborted) return AbortSignal.abort(reason);
    return abortLater(this.#shutdown, this.#options.drainMs ?? 0, over, reason);
  }

  /** @returns whether this result resets the worker: the last one in hand does, so that none is cut off. */
  #noteEnd({ refreshWorker }: JobResult): boolean {
    this.#working -= 1;
    if (refreshWorker || this.#options.refreshWorker) {
      this.#refreshing = true;
      this.#leaving.abort();
    }
    return this.#refreshing && this.#working === 0;
  }
}
