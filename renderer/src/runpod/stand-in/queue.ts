// Responsible for what RunPod's queue decides: order, leases, redelivery, time limits. Must not do
// I/O nor read a clock: time comes in as `now` (epoch ms), so that every rule can be tested at once.
import { randomUUID } from 'node:crypto';
import * as v from 'valibot';
import {
  DAY_MS,
  isFinal,
  QueueJob,
  view,
  type DoneBody,
  type FinalStatus,
  type RunBody,
  type Status,
  type StatusView,
  type StreamBody,
} from './job.ts';

/** How the ids of `/runsync` begin. */
export const SYNC = 'sync-';
/** How long the result of `/run` and of `/runsync` can still be asked for, ms. */
export const RETENTION_MS = 30 * 60_000;
export const SYNC_RETENTION_MS = 60_000;
/** How often a job is handed out again after its worker went silent. */
const MAX_REDELIVERIES = 1;
const DEFAULT_EXECUTION_TIMEOUT_MS = 600_000;

/** Everything the queue remembers, as it is written to disk. `stops` are signals not yet fetched. */
export const QueueState = v.object({
  jobs: v.array(QueueJob),
  stops: v.array(v.object({ workerId: v.string(), jobId: v.string() })),
  retried: v.pipe(v.number(), v.integer(), v.minValue(0)),
});
export type QueueState = v.InferOutput<typeof QueueState>;

export interface QueueOptions {
  /** How long a silent worker keeps its job, ms. */
  readonly leaseMs: number;
  /** How a job ends that ran too long: RunPod's users report `FAILED`, its pages say `TIMED_OUT`. */
  readonly timeoutStatus: 'FAILED' | 'TIMED_OUT';
  /** Called for each job that reaches a final status. */
  readonly onEnd: (view: StatusView, webhook: string | undefined) => void;
}

/** A job as its worker gets it. `delayTime` in ms. */
export interface TakenJob {
  readonly id: string;
  readonly input: Record<string, unknown>;
  readonly delayTime: number;
  readonly webhook?: string;
}

/** RunPod's queue for one endpoint, with one lease per running job. */
export class Queue {
  readonly #options: QueueOptions;
  readonly #jobs: Map<string, QueueJob>;
  #stops: QueueState['stops'];
  #retried: number;

  /**
   * @param state what an earlier process left; its running jobs get a whole new lease, because
   *   their workers could not renew it while nobody listened.
   */
  constructor(options: QueueOptions, state: QueueState, now: number) {
    this.#options = options;
    this.#jobs = new Map(state.jobs.map((job) => [job.id, job]));
    this.#stops = state.stops;
    this.#retried = state.retried;
    for (const job of this.#jobs.values()) {
      if (job.status === 'IN_PROGRESS') job.leaseUntil = now + options.leaseMs;
    }
  }

  state(): QueueState {
    return { jobs: [...this.#jobs.values()], stops: this.#stops, retried: this.#retried };
  }

  /** @param kind by which call the job comes; it decides how long its result is kept. */
  submit(body: RunBody, kind: 'run' | 'runsync', now: number): StatusView {
    const { executionTimeout = DEFAULT_EXECUTION_TIMEOUT_MS, ttl = DAY_MS } = body.policy ?? {};
    const job: QueueJob = {
      id: `${kind === 'runsync' ? SYNC : ''}${randomUUID()}-u1`,
      status: 'IN_QUEUE',
      input: body.input,
      executionTimeout,
      ttl,
      expiresAt: now + ttl,
      queuedAt: now,
      retries: 0,
      chunks: [],
    };
    if (body.webhook !== undefined) job.webhook = body.webhook;
    this.#jobs.set(job.id, job);
    return view(job, now);
  }

  status(id: string, now: number): StatusView | undefined {
    const job = this.#jobs.get(id);
    return job && view(job, now);
  }

  /** Lets a job, or its result, be forgotten `ttl` ms from now. */
  limit(id: string, ttl: number, now: number): void {
    const job = this.#jobs.get(id);
    if (job) job.expiresAt = now + ttl;
  }

  /** Ends a job that has not ended; its worker, if any, is told to stop. */
  cancel(id: string, now: number): StatusView | undefined {
    const job = this.#jobs.get(id);
    if (job && !isFinal(job.status)) {
      this.#signalStop(job);
      this.#end(job, now, 'CANCELLED');
    }
    return job && view(job, now);
  }

  /** Queues a job that went wrong once more, under its id and without its old result. */
  retry(id: string, now: number): StatusView | 'unknown' | 'refused' {
    const job = this.#jobs.get(id);
    if (!job) return 'unknown';
    if (job.status !== 'FAILED' && job.status !== 'TIMED_OUT') return 'refused';
    delete job.endedAt;
    delete job.error;
    job.retries = 0;
    job.expiresAt = now + job.ttl;
    this.#requeue(job, now);
    return view(job, now);
  }

  /** Forgets every job that waits. @returns how many these were. */
  purge(): number {
    const waiting = this.#with('IN_QUEUE');
    for (const { id } of waiting) this.#jobs.delete(id);
    return waiting.length;
  }

  /** Hands what was streamed since the last call to the client. */
  drain(id: string): { status: Status; stream: StreamBody[] } | undefined {
    const job = this.#jobs.get(id);
    return job && { status: job.status, stream: job.chunks.splice(0) };
  }

  /** Hands the oldest waiting job to a worker. */
  take(workerId: string, now: number): TakenJob | undefined {
    const [job] = this.#with('IN_QUEUE').toSorted((a, b) => a.queuedAt - b.queuedAt);
    if (!job) return undefined;
    job.status = 'IN_PROGRESS';
    job.workerId = workerId;
    job.startedAt = now;
    job.leaseUntil = now + this.#options.leaseMs;
    const { id, input, webhook } = job;
    return { delayTime: now - job.queuedAt, id, input, ...(webhook ? { webhook } : {}) };
  }

  /** Puts a job back in its place that was taken for a worker that had already hung up. */
  untake(id: string): void {
    const job = this.#jobs.get(id);
    if (job?.status === 'IN_PROGRESS') this.#requeue(job, job.queuedAt);
  }

  /** Renews the leases of the jobs that a worker says it holds. */
  ping(workerId: string, jobIds: readonly string[], now: number): void {
    for (const id of jobIds) {
      const job = this.#heldBy(workerId, id);
      if (job) job.leaseUntil = now + this.#options.leaseMs;
    }
  }

  /**
   * Takes a result or a progress update. Only the worker that holds the job may give one.
   * @returns false when it is refused.
   */
  done(workerId: string, id: string, body: DoneBody, now: number): boolean {
    const job = this.#heldBy(workerId, id);
    if (!job) return false;
    if (body.output !== undefined) job.output = body.output;
    if (body.status === 'IN_PROGRESS') return true;
    if (body.output === undefined) delete job.output;
    if (body.error) {
      job.error = typeof body.error === 'string' ? body.error : JSON.stringify(body.error);
      this.#end(job, now, 'FAILED');
    } else this.#end(job, now, 'COMPLETED');
    return true;
  }

  /** Takes a piece of a streamed output, as `done` does. @returns false when it is refused. */
  stream(workerId: string, id: string, chunk: StreamBody): boolean {
    const job = this.#heldBy(workerId, id);
    job?.chunks.push(chunk);
    return job !== undefined;
  }

  /** The ids of the jobs that this worker must stop; each is told once. */
  takeStops(workerId: string): string[] {
    const mine = this.#stops.filter((stop) => stop.workerId === workerId);
    this.#stops = this.#stops.filter((stop) => stop.workerId !== workerId);
    return mine.map((stop) => stop.jobId);
  }

  /** Applies everything that time alone causes. @returns whether anything changed. */
  tick(now: number): boolean {
    let changed = false;
    for (const job of this.#jobs.values()) if (this.#age(job, now)) changed = true;
    return changed;
  }

  /** `jobs` of `/health`. */
  health(): Record<'completed' | 'failed' | 'inProgress' | 'inQueue' | 'retried', number> {
    return {
      completed: this.#with('COMPLETED').length,
      failed: this.#with('FAILED').length + this.#with('TIMED_OUT').length,
      inProgress: this.#with('IN_PROGRESS').length,
      inQueue: this.#with('IN_QUEUE').length,
      retried: this.#retried,
    };
  }

  /** The workers that hold a job. */
  busy(): Set<string> {
    return new Set(this.#with('IN_PROGRESS').flatMap((job) => job.workerId ?? []));
  }

  #with(status: Status): QueueJob[] {
    return [...this.#jobs.values()].filter((job) => job.status === status);
  }

  #heldBy(workerId: string, id: string): QueueJob | undefined {
    const job = this.#jobs.get(id);
    return job?.status === 'IN_PROGRESS' && job.workerId === workerId ? job : undefined;
  }

  #age(job: QueueJob, now: number): boolean {
    if (now >= job.expiresAt) {
      this.#signalStop(job);
      return this.#jobs.delete(job.id);
    }
    if (job.startedAt === undefined || job.status !== 'IN_PROGRESS') return false;
    if (now >= job.startedAt + job.executionTimeout) {
      this.#signalStop(job);
      this.#fail(job, now, this.#options.timeoutStatus, 'executionTimeout exceeded');
    } else if (now >= (job.leaseUntil ?? 0)) this.#lose(job, now);
    else return false;
    return true;
  }

  #lose(job: QueueJob, now: number): void {
    if (job.retries >= MAX_REDELIVERIES) {
      this.#fail(job, now, 'FAILED', `job timed out after ${job.retries} retries`);
      return;
    }
    job.retries += 1;
    this.#retried += 1;
    this.#requeue(job, now);
  }

  #requeue(job: QueueJob, queuedAt: number): void {
    job.status = 'IN_QUEUE';
    job.queuedAt = queuedAt;
    // The next worker streams from the start.
    job.chunks = [];
    for (const key of ['workerId', 'startedAt', 'leaseUntil', 'output'] as const) delete job[key];
  }

  #fail(job: QueueJob, now: number, status: 'FAILED' | 'TIMED_OUT', error: string): void {
    delete job.output;
    job.error = error;
    this.#end(job, now, status);
  }

  #end(job: QueueJob, now: number, status: FinalStatus): void {
    job.status = status;
    job.endedAt = now;
    job.expiresAt = now + (job.id.startsWith(SYNC) ? SYNC_RETENTION_MS : RETENTION_MS);
    delete job.leaseUntil;
    this.#options.onEnd(view(job, now), job.webhook);
  }

  #signalStop(job: QueueJob): void {
    if (job.status === 'IN_PROGRESS' && job.workerId !== undefined) {
      this.#stops.push({ workerId: job.workerId, jobId: job.id });
    }
  }
}
