import { isEnded } from './job.ts';
import type { Job, JobIn, LiveJob } from './job.ts';
import { spendBy } from './cost.ts';
import type { Policy } from './policy.ts';

/** An ended job that still owes effects is looked at this often, ms. */
const OWING_LOOK_MS = 2 * 60_000;
/** A job that has not ended is looked at this often, ms. Most have ended before the first look. */
export const LIVE_LOOK_MS = 15 * 60_000;

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
 * When somebody else should look after the object, should its alarm be lost, epoch ms; null when it has
 * ended and owes nothing: an object that then outlives its retention costs nothing worth a look.
 */
export function lookAt(job: Job, isOwing: boolean, now: number): number | null {
  if (!isEnded(job)) return now + LIVE_LOOK_MS;
  return isOwing || job.deletedAt !== undefined ? now + OWING_LOOK_MS : null;
}

function deadlineOf(job: LiveJob, policy: Policy): number {
  switch (job.state) {
    case 'dispatching':
      return job.deadlineAt;
    case 'adopting':
      return job.lookUntil;
    case 'dispatched':
      return Math.min(job.startBy, isAskedAbout(job) ? job.askAt : job.startBy, job.deadlineAt);
    case 'running': {
      const limits = Object.values(runningDeadlines(job, policy));
      return Math.min(...limits, job.askAt ?? job.deadlineAt, job.deadlineAt);
    }
    case 'retry_wait':
      return Math.min(job.retryAt, job.deadlineAt);
  }
}

function isAskedAbout(job: JobIn<'dispatched'>): boolean {
  return job.request !== null && job.remoteId !== null;
}

/** The wait before the provider is asked for the `n`th time (from 1) about a job that waits, ms. */
export function askDelay(n: number, { ask_ms, ask_cap_ms }: Policy): number {
  return Math.min(Math.max(ask_ms, ask_cap_ms), ask_ms * 2 ** Math.min(n, 20));
}

/** From when on a renderer that has said nothing more is suspicious, epoch ms. */
export function silentAt(job: JobIn<'running'>, policy: Policy): number {
  return Math.max(job.heartbeatAt, job.quietSince ?? 0) + policy.lease_ms / 2;
}

/**
 * Until when a running attempt must have been heard, moved, left its stage, and ended, and what it may
 * cost; epoch ms.
 */
export function runningDeadlines(job: JobIn<'running'>, policy: Policy) {
  // Rendering takes as long as it takes; a person at a keyboard is not hurried through stages.
  const bounded = job.request !== null && job.stage !== 'rendering';
  const { attemptBy, quietSince } = job;
  return {
    leaseUntil: Math.max(job.leaseUntil, quietSince === null ? 0 : quietSince + policy.lease_ms),
    attemptBy,
    stageBy: bounded ? job.stageAt + policy.stage_ms : attemptBy,
    stallBy: job.request ? job.movedAt + policy.stall_ms : attemptBy,
    spendBy: spendBy(job, policy),
  };
}

/** When the object of an ended job may delete itself, epoch ms. */
export function purgeAt(job: Extract<Job, { completedAt: number }>, policy: Policy): number {
  return job.deletedAt ?? job.completedAt + policy.retention_ms;
}
