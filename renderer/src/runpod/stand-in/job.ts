// Responsible for the shapes of a job: what clients and workers send, what is kept, what is shown.
import * as v from 'valibot';

const Millis = v.pipe(v.number(), v.integer(), v.minValue(0));
export const DAY_MS = 86_400_000;

/** How a job stands, as RunPod spells it. */
export const STATUSES = [
  'IN_QUEUE',
  'IN_PROGRESS',
  'COMPLETED',
  'FAILED',
  'CANCELLED',
  'TIMED_OUT',
] as const;
export type Status = (typeof STATUSES)[number];
export type FinalStatus = Exclude<Status, 'IN_QUEUE' | 'IN_PROGRESS'>;

/** Whether nothing changes such a job any more but a retry. */
export function isFinal(status: Status): status is FinalStatus {
  return status !== 'IN_QUEUE' && status !== 'IN_PROGRESS';
}

/**
 * `POST /run` and `/runsync`. Times in ms, within the limits that RunPod documents. An empty input is
 * refused here because the platform drops such a job in silence.
 */
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
  /** The worker asks for its own end, so that its machine starts afresh. */
  stopPod: v.optional(v.boolean()),
});
export type DoneBody = v.InferOutput<typeof DoneBody>;

/** `POST /job-stream`: one piece of an output that comes bit by bit. */
export const StreamBody = v.looseObject({ output: v.unknown() });
export type StreamBody = v.InferOutput<typeof StreamBody>;

export const QueueJob = v.object({
  id: v.string(),
  status: v.picklist(STATUSES),
  input: v.record(v.string(), v.unknown()),
  webhook: v.optional(v.string()),
  executionTimeout: Millis,
  /** How long the job may live from its submission on, queue and run together. */
  ttl: v.optional(Millis, DAY_MS),
  /** When the job is forgotten: its time to live, or the retention of its result. */
  expiresAt: Millis,
  queuedAt: Millis,
  startedAt: v.optional(Millis),
  endedAt: v.optional(Millis),
  leaseUntil: v.optional(Millis),
  workerId: v.optional(v.string()),
  retries: Millis,
  output: v.optional(v.unknown()),
  error: v.optional(v.string()),
  /** What was streamed and not yet fetched. */
  chunks: v.optional(v.array(StreamBody), []),
});
export type QueueJob = v.InferOutput<typeof QueueJob>;

/** What `/status`, `/cancel` and the webhook show of a job. Times in ms. */
export interface StatusView {
  readonly id: string;
  readonly status: Status;
  /** The wait before the last attempt. */
  readonly delayTime?: number;
  readonly executionTime?: number;
  readonly retries?: number;
  readonly workerId?: string;
  readonly output?: unknown;
  readonly error?: string;
}

/** What a client is shown of a job. */
export function view(job: QueueJob, now: number): StatusView {
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
