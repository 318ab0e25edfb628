import { isEnded } from './job.ts';
import type { Job, JobIn, LiveJob } from './job.ts';
import type { Policy } from './policy.ts';

/** An ended job that still owes effects is looked at this often, ms. */
const OWING_LOOK_MS = 2 * 60_000;
/** An object that has not deleted itself by then has lost its alarm, ms. */
const PURGE_GRACE_MS = 10 * 60_000;

/**
 * The wait before retry `n` (from 0), ms: capped exponential with equal jitter, so never zero.
 * `random` is in [0, 1).
 */
export function retryDelay(n: number, random: number, policy: Policy): number {
  const cap = Math.min(policy.retry_cap_ms, policy.retry_base_ms * 2 ** n);
  return Math.round(cap / 2 + (random * cap) / 2);
}

/** How long hand-over `n` without an answer (from 0) waits for its claim, ms. */
export function doubtDelay(n: number, { unknown_ms, start_ms }: Policy): number {
  return Math.min(Math.max(unknown_ms, start_ms / 3), unknown_ms * 2 ** n);
}

/**
 * When the object must wake next, epoch ms: the earliest of the job's own deadlines and of what its
 * outbox waits for. Null only when there is no job.
 */
export function nextWakeAt(
  job: Job | null,
  outboxDueAt: number | null,
  policy: Policy,
): number | null {
  if (job === null) return null;
  // An ended job is forgotten only after its effects: until then a due retention must not wake it.
  if (isEnded(job)) return outboxDueAt ?? purgeAt(job, policy);
  return Math.min(deadlineOf(job, policy), outboxDueAt ?? Number.POSITIVE_INFINITY);
}

/**
 * When somebody else should look after the object, should its alarm be lost, epoch ms; null while the
 * job has not ended, for then it is looked after by its silence.
 */
export function lookAt(job: Job, isOwing: boolean, policy: Policy, now: number): number | null {
  if (!isEnded(job)) return null;
  return isOwing ? now + OWING_LOOK_MS : purgeAt(job, policy) + PURGE_GRACE_MS;
}

function deadlineOf(job: LiveJob, policy: Policy): number {
  switch (job.state) {
    case 'dispatching':
      return job.deadlineAt;
    case 'adopting':
      return job.lookUntil;
    case 'dispatched':
      return Math.min(job.startBy, askAt(job, policy), job.deadlineAt);
    case 'running': {
      const limits = Object.values(runningDeadlines(job, policy));
      return Math.min(...limits, askAt(job, policy), job.deadlineAt);
    }
    case 'retry_wait':
      return Math.min(job.retryAt, job.deadlineAt);
  }
}

/**
 * When the provider is to be asked about its job, epoch ms: now and then while it waits there, and
 * once when its renderer has been silent for half of its lease.
 */
export function askAt(job: JobIn<'dispatched' | 'running'>, policy: Policy): number {
  if (job.request === null || job.remoteId === null) return Number.POSITIVE_INFINITY;
  if (job.state === 'dispatched') return job.askAt;
  const isAsked = job.askedAt > job.heartbeatAt;
  return isAsked ? Number.POSITIVE_INFINITY : silentAt(job, policy);
}

/** From when on a renderer that has said nothing more is suspicious, epoch ms. */
export function silentAt({ heartbeatAt }: JobIn<'running'>, policy: Policy): number {
  return heartbeatAt + policy.lease_ms / 2;
}

/** Until when a running attempt must have been heard, moved, left its stage, and ended; epoch ms. */
export function runningDeadlines(job: JobIn<'running'>, policy: Policy) {
  // Rendering takes as long as it takes; a person at a keyboard is not hurried through stages.
  const bounded = job.request !== null && job.stage !== 'rendering';
  const { leaseUntil, attemptBy } = job;
  return {
    leaseUntil,
    attemptBy,
    stageBy: bounded ? job.stageAt + policy.stage_ms : attemptBy,
    stallBy: job.request ? job.movedAt + policy.stall_ms : attemptBy,
  };
}

/** When the object of an ended job may delete itself, epoch ms. */
export function purgeAt(job: Extract<Job, { completedAt: number }>, policy: Policy): number {
  return job.completedAt + policy.retention_ms;
}
