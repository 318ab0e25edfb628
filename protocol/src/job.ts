import * as v from 'valibot';
import { FAILURE_CODES } from './failures.ts';
import { CONTAINERS, KnownOptions } from './options.ts';

export const JOB_STATUSES = ['pending', 'processing', 'complete', 'error', 'cancelled'] as const;
export type JobStatus = (typeof JOB_STATUSES)[number];

/**
 * Why a job waits for a renderer: the provider has no worker for it, cannot get a GPU, cannot start
 * its workers, is starting one, or has every worker busy with other jobs.
 */
export const WAIT_REASONS = ['no_workers', 'throttled', 'unhealthy', 'starting', 'busy'] as const;
export type WaitReason = (typeof WAIT_REASONS)[number];

/** What a running attempt is doing now, in order. */
export const STAGES = ['starting', 'downloading', 'rendering', 'uploading', 'verifying'] as const;
export type Stage = (typeof STAGES)[number];

/** Epoch milliseconds, by the clock of the job's object. */
export const EpochMs = v.pipe(v.number(), v.integer(), v.minValue(0));
/** Percent, 0–100. */
export const Percent = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(100));
const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Positive = v.pipe(v.number(), v.finite(), v.minValue(0));

/** Why an attempt or the job failed; `message` is safe to show. */
export const Failure = v.object({ code: v.picklist(FAILURE_CODES), message: v.string() });
export type Failure = v.InferOutput<typeof Failure>;

/** The finished file. `duration_ms`, sizes and `frames` are null for jobs made by hand. */
export const Output = v.object({
  key: v.string(),
  filename: v.string(),
  container: v.nullable(v.picklist(CONTAINERS)),
  content_type: v.string(),
  size: v.nullable(Count),
  sha256: v.nullable(v.string()),
  width: v.nullable(Count),
  height: v.nullable(Count),
  duration_ms: v.nullable(Count),
  frames: v.nullable(Count),
});
export type Output = v.InferOutput<typeof Output>;

/**
 * What a job has used so far, by published prices: an estimate, not an invoice. `gpu` is the time between
 * each claim and the end of its attempt, by hardware; `platform` is what its object counted of itself.
 */
export const Cost = v.object({
  /** Dollars in all. */
  dollars: Positive,
  gpu: v.array(v.object({ hardware: v.string(), ms: Count, dollars: Positive })),
  platform: v.object({
    /** Calls and alarms of the object, and messages from its renderers. */
    requests: Count,
    messages: Count,
    /** Rows written by the object and into D1. */
    rows: Count,
    dollars: Positive,
  }),
});
export type Cost = v.InferOutput<typeof Cost>;

/** Who made the file: what it rendered on, and how long it had the job, from its claim to its end. */
export const Rendered = v.object({ hardware: v.string(), ms: Count });

/** A label of the owner's choosing, by which exports can be listed. */
export const Tag = v.pipe(v.string(), v.regex(/^[\w.:-]{1,64}$/));

const base = {
  id: v.string(),
  /** Percent of the attempt. Never falls within an attempt; 100 only when complete. */
  progress: Percent,
  /**
   * Percent for a bar: goes on where the attempt before ended, so that it never falls in the life of a job.
   * 100 only when complete.
   */
  overall_progress: v.optional(v.nullable(Percent), null),
  /** The current or, while waiting for a retry, the next attempt; starts at 1. */
  attempt: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** How many attempts there can be. Grows by one for each attempt that the platform lost. */
  max_attempts: Count,
  /** `attempt - 1`. */
  retry_count: Count,
  /** The failed job that this one repeats. */
  retry_of: v.optional(v.nullable(v.string()), null),
  /** The sequence number of the job's last event; a cursor for every way of watching. */
  seq: Count,
  /** The upload that it is made from. */
  upload_id: v.optional(v.nullable(v.string()), null),
  /** Name of the source file as the user knows it. */
  filename: v.nullable(v.string()),
  input_size: v.nullable(Count),
  options: v.nullable(KnownOptions),
  tags: v.optional(v.array(v.string()), []),
  /** How much it may cost before it is stopped, dollars; null for no limit. */
  max_dollars: v.optional(v.nullable(Positive), null),
  cost: v.optional(v.nullable(Cost), null),
  created_at: EpochMs,
  updated_at: EpochMs,
  started_at: v.nullable(EpochMs),
};
const last = { last_failure: v.nullable(Failure) };
const ended = { completed_at: EpochMs };

/**
 * A job as anyone may see it: one shape per status, so that a file exists exactly on `complete` and
 * a reason exactly on `error`.
 */
export const ExportJob = v.variant('status', [
  v.object({
    ...base,
    ...last,
    status: v.literal('pending'),
    /** What the job waits for: being handed over, a free renderer, or the next attempt's time. */
    waiting_for: v.picklist(['dispatch', 'renderer', 'retry']),
    /** Why no renderer has come yet, as far as the provider tells. */
    wait_reason: v.optional(v.nullable(v.picklist(WAIT_REASONS)), null),
    next_attempt_at: v.nullable(EpochMs),
  }),
  v.object({
    ...base,
    ...last,
    status: v.literal('processing'),
    stage: v.picklist(STAGES),
    message: v.nullable(v.string()),
    /** Encoded frames a second, and how many times faster than playing that is. */
    fps: v.nullable(Positive),
    speed: v.nullable(Positive),
    /**
     * Time left as of `updated_at`, ms: half of such exports end within the one, nine of ten within the other.
     * From what the renderer says and what others like it took; null while nothing is known.
     */
    eta_ms: v.nullable(Positive),
    eta_p90_ms: v.optional(v.nullable(Positive), null),
  }),
  v.object({
    ...base,
    ...ended,
    status: v.literal('complete'),
    output: Output,
    output_video_key: v.string(),
    /** Where to download: absolute, or a path on the server's own origin. */
    output_url: v.string(),
    /** True when the stored file was compared with what the renderer reported. */
    verified: v.boolean(),
    /** Null when the renderer did not say itself that it was done: its file was found, or the job made by hand. */
    rendered: v.optional(v.nullable(Rendered), null),
  }),
  v.object({
    ...base,
    ...ended,
    status: v.literal('error'),
    /** One safe sentence. */
    error: v.string(),
    error_code: v.picklist(FAILURE_CODES),
  }),
  v.object({ ...base, ...ended, status: v.literal('cancelled') }),
]);
export type ExportJob = v.InferOutput<typeof ExportJob>;
/** A job that has ended; it never changes again. */
export type EndedJob = Extract<ExportJob, { completed_at: number }>;

/** Whether a status is one of the three that never change again. */
export function isTerminal(status: JobStatus): status is EndedJob['status'] {
  return status === 'complete' || status === 'error' || status === 'cancelled';
}
