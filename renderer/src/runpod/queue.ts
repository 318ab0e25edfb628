// Responsible for what RunPod's queue decides: order, leases, redelivery, time limits. Must not do
// I/O nor read a clock: time comes in as `now` (epoch ms), so that every rule can be tested at once.
import { randomUUID } from 'node:crypto';
import * as v from 'valibot';

const Millis = v.pipe(v.number(), v.integer(), v.minValue(0));
const DAY_MS = 86_400_000;

/** How long a finished job can still be asked for, ms. */
export const RETENTION_MS = 30 * 60_000;
/** How often a job is handed out again after its worker went silent. */
const MAX_REDELIVERIES = 1;

/** `POST /run`. Times in ms, within the limits that RunPod documents. */
export const RunBody = v.object({
  input: v.pipe(
    v.record(v.string(), v.unknown()),
    v.check((input) => Object.keys(input).length > 0, 'must not be empty'),
  ),
  webhook: v.optional(v.pipe(v.string(), v.url())),
  policy: v.optional(
    v.object({
      executionTimeout: v.optional(v.pipe(Millis, v.minValue(5000), v.maxValue(7 * DAY_MS))),
      ttl: v.optional(v.pipe(Millis, v.minValue(10_000), v.maxValue(7 * DAY_MS))),
      lowPriority: v.optional(v.boolean()),
    }),
  ),
});
export type RunBody = v.InferOutput<typeof RunBody>;

/** `POST /job-done`: the end of a job, or a progress update when `status` says so. */
export const DoneBody = v.looseObject({
  status: v.optional(v.string()),
  output: v.optional(v.unknown()),
  error: v.optional(v.unknown()),
});
export type DoneBody = v.InferOutput<typeof DoneBody>;

const STATUSES = ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED', 'FAILED', 'CANCELLED'] as const;

const QueueJob = v.object({
  id: v.string(),
  status: v.picklist(STATUSES),
  input: v.record(v.string(), v.unknown()),
  webhook: v.optional(v.string()),
  executionTimeout: Millis,
  expiresAt: Millis,
  queuedAt: Millis,
  startedAt: v.optional(Millis),
  endedAt: v.optional(Millis),
  leaseUntil: v.optional(Millis),
  workerId: v.optional(v.string()),
  retries: Millis,
  output: v.optional(v.unknown()),
  error: v.optional(v.string()),
});
type QueueJob = v.InferOutput<typeof QueueJob>;

/** Everything the queue remembers, as it is written to disk. `stops` are signals not yet fetched. */
export const QueueState = v.object({
  jobs: v.array(QueueJob),
  stops: v.array(v.object({ workerId: v.string(), jobId: v.string() })),
  retried: Millis,
});
export type QueueState = v.InferOutput<typeof QueueState>;

/** What `/status`, `/cancel` and the webhook show of a job. */
export interface StatusView {
  readonly id: string;
  readonly status: (typeof STATUSES)[number];
  readonly delayTime?: number;
  readonly executionTime?: number;
  readonly retries?: number;
  readonly workerId?: string;
  readonly output?: unknown;
  readonly error?: string;
}

const ended = (job: QueueJob) => job.endedAt !== undefined;

/** RunPod's queue for one endpoint, with one lease per running job. */
export class Queue {
  readonly #leaseMs: number;
  readonly #onEnd: (view: StatusView, webhook: string | undefined) => void;
  readonly #jobs: Map<string, QueueJob>;
  #stops: QueueState['stops'];
  #retried: number;

  /**
   * @param state what an earlier process left; its running jobs get a whole new lease, because
   *   their workers could not renew it while nobody listened.
   * @param onEnd called for each job that reaches a terminal state.
   */
  constructor(
    leaseMs: number,
    state: QueueState,
    now: number,
    onEnd: (view: StatusView, webhook: string | undefined) => void,
  ) {
    this.#leaseMs = leaseMs;
    this.#onEnd = onEnd;
    this.#jobs = new Map(state.jobs.map((job) => [job.id, job]));
    this.#stops = state.stops;
    this.#retried = state.retried;
    for (const job of this.#jobs.values()) {
      if (job.status === 'IN_PROGRESS') job.leaseUntil = now + leaseMs;
    }
  }

  state(): QueueState {
    return { jobs: [...this.#jobs.values()], stops: this.#stops, retried: this.#retried };
  }

  submit(body: RunBody, now: number): { id: string; status: 'IN_QUEUE' } {
    const job: QueueJob = {
      id: `${randomUUID()}-u1`,
      status: 'IN_QUEUE',
      input: body.input,
      executionTimeout: body.policy?.executionTimeout ?? 600_000,
      expiresAt: now + (body.policy?.ttl ?? DAY_MS),
      queuedAt: now,
      retries: 0,
    };
    if (body.webhook !== undefined) job.webhook = body.webhook;
    this.#jobs.set(job.id, job);
    return { id: job.id, status: 'IN_QUEUE' };
  }

  status(id: string, now: number): StatusView | undefined {
    const job = this.#jobs.get(id);
    return job && view(job, now);
  }

  /** Ends a job that has not ended; its worker, if any, is told to stop. */
  cancel(id: string, now: number): StatusView | undefined {
    const job = this.#jobs.get(id);
    if (job && !ended(job)) {
      this.#signalStop(job);
      this.#end(job, now, 'CANCELLED');
    }
    return job && view(job, now);
  }

  /** Hands the oldest waiting job to a worker. */
  take(workerId: string, now: number): Record<string, unknown> | undefined {
    const job = this.#waiting();
    if (!job) return undefined;
    job.status = 'IN_PROGRESS';
    job.workerId = workerId;
    job.startedAt = now;
    job.leaseUntil = now + this.#leaseMs;
    const { id, input, webhook } = job;
    return { delayTime: now - job.queuedAt, id, input, ...(webhook ? { webhook } : {}) };
  }

  /** Gives a job back that was taken for a worker that had already hung up. */
  untake(id: string, now: number): void {
    const job = this.#jobs.get(id);
    if (job?.status === 'IN_PROGRESS') this.#requeue(job, now);
  }

  /** Renews the leases of the jobs that a worker says it holds. */
  ping(workerId: string, jobIds: readonly string[], now: number): void {
    for (const id of jobIds) {
      const job = this.#jobs.get(id);
      if (job?.status === 'IN_PROGRESS' && job.workerId === workerId) {
        job.leaseUntil = now + this.#leaseMs;
      }
    }
  }

  /**
   * Takes a result or a progress update. Only the worker that holds the job may give one.
   * @returns false when it is refused.
   */
  done(workerId: string, id: string, body: DoneBody, now: number): boolean {
    const job = this.#jobs.get(id);
    if (job?.status !== 'IN_PROGRESS' || job.workerId !== workerId) return false;
    if (body.output !== undefined) job.output = body.output;
    if (body.status === 'IN_PROGRESS') return true;
    if (body.output === undefined) delete job.output;
    if (body.error) {
      job.error = typeof body.error === 'string' ? body.error : JSON.stringify(body.error);
      this.#end(job, now, 'FAILED');
    } else this.#end(job, now, 'COMPLETED');
    return true;
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

  health(): Record<'completed' | 'failed' | 'inProgress' | 'inQueue' | 'retried', number> {
    const count = (status: QueueJob['status']) =>
      [...this.#jobs.values()].filter((job) => job.status === status).length;
    return {
      completed: count('COMPLETED'),
      failed: count('FAILED'),
      inProgress: count('IN_PROGRESS'),
      inQueue: count('IN_QUEUE'),
      retried: this.#retried,
    };
  }

  #waiting(): QueueJob | undefined {
    let oldest: QueueJob | undefined;
    for (const job of this.#jobs.values()) {
      if (job.status === 'IN_QUEUE' && (!oldest || job.queuedAt < oldest.queuedAt)) oldest = job;
    }
    return oldest;
  }

  #age(job: QueueJob, now: number): boolean {
    if (job.endedAt !== undefined) {
      return now >= job.endedAt + RETENTION_MS && this.#jobs.delete(job.id);
    }
    if (now >= job.expiresAt) {
      this.#signalStop(job);
      return this.#jobs.delete(job.id);
    }
    if (job.startedAt === undefined || job.status !== 'IN_PROGRESS') return false;
    if (now >= job.startedAt + job.executionTimeout) {
      this.#signalStop(job);
      this.#fail(job, now, 'executionTimeout exceeded');
    } else if (now >= (job.leaseUntil ?? 0)) this.#lose(job, now);
    else return false;
    return true;
  }

  #lose(job: QueueJob, now: number): void {
    if (job.retries >= MAX_REDELIVERIES) {
      this.#fail(job, now, `job timed out after ${job.retries} retries`);
      return;
    }
    job.retries += 1;
    this.#retried += 1;
    this.#requeue(job, now);
  }

  #requeue(job: QueueJob, now: number): void {
    job.status = 'IN_QUEUE';
    job.queuedAt = now;
    for (const key of ['workerId', 'startedAt', 'leaseUntil', 'output'] as const) delete job[key];
  }

  #fail(job: QueueJob, now: number, error: string): void {
    delete job.output;
    job.error = error;
    this.#end(job, now, 'FAILED');
  }

  #end(job: QueueJob, now: number, status: 'COMPLETED' | 'FAILED' | 'CANCELLED'): void {
    job.status = status;
    job.endedAt = now;
    delete job.leaseUntil;
    this.#onEnd(view(job, now), job.webhook);
  }

  #signalStop(job: QueueJob): void {
    if (job.status === 'IN_PROGRESS' && job.workerId !== undefined) {
      this.#stops.push({ workerId: job.workerId, jobId: job.id });
    }
  }
}

function view(job: QueueJob, now: number): StatusView {
  const { id, status, startedAt, endedAt, workerId, retries, output, error } = job;
  return {
    ...(startedAt === undefined ? {} : { delayTime: startedAt - job.queuedAt }),
    ...(error === undefined ? {} : { error }),
    ...(startedAt === undefined ? {} : { executionTime: (endedAt ?? now) - startedAt }),
    id,
    ...(output === undefined ? {} : { output }),
    ...(retries > 0 ? { retries } : {}),
    status,
    ...(workerId === undefined ? {} : { workerId }),
  };
}
