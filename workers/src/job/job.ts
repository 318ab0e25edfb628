import {
  EpochMs,
  Failure,
  KnownOptions,
  Output,
  Percent,
  Rendered,
  STAGES,
  WAIT_REASONS,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { MAX_SPEEDS, Speed } from './forecast.ts';

// The job as its object keeps it. Finer than what the wire shows: `project.ts` maps one to the other.

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Positive = v.pipe(v.number(), v.integer(), v.minValue(1));

/** An upload: `key`, `etag` and `size` name the exact bytes in R2. */
const UploadedInput = v.object({
  kind: v.optional(v.literal('upload'), 'upload'),
  key: v.string(),
  etag: v.string(),
  size: Count,
  filename: v.string(),
});

/** A file on another server, which the renderer reads. The address may be a signed one: nobody is shown it. */
const ForeignInput = v.object({
  kind: v.literal('url'),
  url: v.string(),
  filename: v.string(),
  /** How much of it is read at most, bytes. */
  maxBytes: Count,
});

/** What is to be exported. */
export const JobRequest = v.object({
  input: v.variant('kind', [UploadedInput, ForeignInput]),
  options: KnownOptions,
  /** The failed job that this one repeats. */
  retryOf: v.optional(v.nullable(v.string()), null),
  tags: v.optional(v.array(v.string()), []),
  /** What its renderers may cost in all, dollars. */
  maxDollars: v.optional(v.nullable(v.number()), null),
  /**
   * How fast exports like it were when it was asked for: by hardware and unit, of the narrowest kind of export
   * that was known of these; those with the most samples first. Jobs made before there was a limit have more.
   */
  speeds: v.optional(
    v.pipe(
      v.array(Speed),
      v.transform((all) => all.slice(0, MAX_SPEEDS)),
    ),
  ),
});
export type JobRequest = v.InferOutput<typeof JobRequest>;

/** The one process that may speak for an attempt. A higher epoch fences every lower one. */
const Owner = v.object({
  nonce: v.string(),
  epoch: Positive,
  remoteId: v.nullable(v.string()),
  workerId: v.nullable(v.string()),
  /** The processes that owned the attempt before: none of them gets it back. */
  fenced: v.optional(v.array(v.string()), []),
});

/** Who may speak for an attempt, or spoke for it. */
const Fence = v.object({ attempt: Positive, epoch: Positive });

const base = {
  id: v.string(),
  tenant: v.string(),
  /** Null for a job made by hand in development: nothing is dispatched and nobody claims it. */
  request: v.nullable(JobRequest),
  requestHash: v.string(),
  /**
   * Number of the last event, a cursor for viewers and the revision that D1 is guarded by. The thousands
   * count what was committed; the rest is what was reported since, in permille of progress.
   */
  seq: Positive,
  /** The current or next attempt, from 1: the fencing number of every call and every output key. */
  attempt: Positive,
  /** Attempts charged to the job, lost by the platform, and cost by an outage of storage. */
  failures: Count,
  losses: Count,
  outages: v.optional(Count, 0),
  progress: Percent,
  /** How far a bar had come when this attempt began. */
  progressBefore: v.optional(Percent, 0),
  lastFailure: v.nullable(Failure),
  /** The attempt that its own renderer closed with an error, so that the call can be repeated. */
  closed: v.nullable(Fence),
  /** The highest epoch of any attempt: with `attempt` it bounds where outputs may have been left. */
  epochs: v.optional(Count, 9),
  /** How long renderers had attempts that are over, by hardware, ms. */
  gpu: v.optional(v.record(v.string(), Count), {}),
  createdAt: EpochMs,
  updatedAt: EpochMs,
  /** Since when its owner wants an ended job to be forgotten: nobody sees it any more. */
  deletedAt: v.optional(EpochMs),
  startedAt: v.nullable(EpochMs),
  deadlineAt: EpochMs,
};

/** How many hand-overs of this attempt had no answer. */
const doubts = v.optional(Count, 0);

export const Job = v.variant('state', [
  v.object({ ...base, state: v.literal('dispatching'), doubts }),
  v.object({
    ...base,
    state: v.literal('dispatched'),
    /** Its id at the provider; null while it is not known whether the provider has it at all. */
    remoteId: v.nullable(v.string()),
    startBy: EpochMs,
    doubts,
    /** When the provider is asked how it stands, and why it waits, as that said last. */
    askAt: v.optional(EpochMs, 0),
    asks: v.optional(Count, 0),
    waiting: v.optional(v.nullable(v.picklist(WAIT_REASONS)), null),
  }),
  v.object({
    ...base,
    state: v.literal('running'),
    remoteId: v.nullable(v.string()),
    owner: v.nullable(Owner),
    /** What the owner renders on, and since when it has the attempt. */
    hardware: v.optional(v.string(), 'cpu'),
    claimedAt: v.optional(EpochMs, 0),
    /** Sequence number of the last accepted report of this owner. */
    reportSeq: Count,
    heartbeatAt: EpochMs,
    leaseUntil: EpochMs,
    attemptBy: EpochMs,
    stage: v.picklist(STAGES),
    /** When this stage began, and when anything last moved. */
    stageAt: v.optional(EpochMs, 0),
    movedAt: v.optional(EpochMs, 0),
    /** What this owner itself reported; `progress` may still be that of the one before. */
    ownPercent: v.optional(Percent, 0),
    /** When the provider is asked about it, should it be silent; null while nothing speaks against it. */
    askAt: v.optional(v.nullable(EpochMs), null),
    /**
     * Since when nothing was heard of the owner, for sure; null while reports may be known to memory
     * alone. Silence is counted from here if that is later than the last report.
     */
    quietSince: v.optional(v.nullable(EpochMs), null),
    message: v.nullable(v.string()),
    fps: v.nullable(v.number()),
    speed: v.nullable(v.number()),
    /** The time left as of `updatedAt` and the work that it has planned, as its owner says. */
    etaMs: v.nullable(v.number()),
    megapixels: v.optional(v.nullable(v.number()), null),
  }),
  v.object({ ...base, state: v.literal('retry_wait'), retryAt: EpochMs }),
  v.object({
    ...base,
    state: v.literal('adopting'),
    /** Whose output is looked for until when, and how the job ends if there is none. */
    by: Fence,
    failure: Failure,
    lookUntil: v.optional(EpochMs, 0),
  }),
  v.object({
    ...base,
    state: v.literal('complete'),
    output: Output,
    verified: v.boolean(),
    by: v.nullable(Fence),
    rendered: v.optional(v.nullable(Rendered), null),
    completedAt: EpochMs,
  }),
  v.object({ ...base, state: v.literal('failed'), failure: Failure, completedAt: EpochMs }),
  v.object({ ...base, state: v.literal('cancelled'), completedAt: EpochMs }),
]);
export type Job = v.InferOutput<typeof Job>;
export type JobState = Job['state'];
export type JobIn<S extends JobState> = Extract<Job, { state: S }>;
export type LiveJob = Exclude<Job, { completedAt: number }>;

/** What a report can change of a running job, and the object may forget. */
export const Hint = v.object({
  seq: Positive,
  updatedAt: EpochMs,
  progress: Percent,
  ownPercent: Percent,
  reportSeq: Count,
  heartbeatAt: EpochMs,
  leaseUntil: EpochMs,
  stage: v.picklist(STAGES),
  stageAt: EpochMs,
  movedAt: EpochMs,
  etaMs: v.optional(v.nullable(v.number()), null),
  megapixels: v.optional(v.nullable(v.number()), null),
});
export type Hint = v.InferOutput<typeof Hint>;

/** The part of a running job that is a hint. */
export function hintOf(job: JobIn<'running'>): Hint {
  const { seq, updatedAt, progress, ownPercent, reportSeq } = job;
  const { heartbeatAt, leaseUntil, stage, stageAt, movedAt, etaMs, megapixels } = job;
  const known = { heartbeatAt, leaseUntil, stage, stageAt, movedAt, etaMs, megapixels };
  return { seq, updatedAt, progress, ownPercent, reportSeq, ...known };
}

/** Whether the job has ended and can never change again. */
export function isEnded(job: Job): job is Extract<Job, { completedAt: number }> {
  return job.state === 'complete' || job.state === 'failed' || job.state === 'cancelled';
}
