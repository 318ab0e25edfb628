import { FAILURES } from '@export-jobs/protocol';
import type { Failure, FailureCode } from '@export-jobs/protocol';
import type { Decision, Effect, Given, Happening } from './events.ts';
import type { Job, JobIn, LiveJob } from './job.ts';
import type { Policy } from './policy.ts';
import { retryDelay } from './schedule.ts';

// The steps that transitions are made of: an attempt starts, is lost, or a job ends.

/** A failure of the table with its own sentence, and with the reason where the table wants one. */
export function failure(code: FailureCode, reason = ''): Failure {
  const { sentence } = FAILURES[code];
  if (reason === '' || !('explained' in FAILURES[code])) return { code, message: sentence };
  return { code, message: `${sentence} ${reason.charAt(0).toUpperCase()}${reason.slice(1)}.` };
}

/** The job with a fresh attempt under way. */
export function start(
  job: LiveJob,
  owner: JobIn<'running'>['owner'],
  { now, policy }: Pick<Given, 'now' | 'policy'>,
): JobIn<'running'> {
  const recorded = job.state === 'dispatched' || job.state === 'running' ? job.remoteId : null;
  return {
    ...shared(job),
    state: 'running',
    remoteId: owner?.remoteId ?? recorded,
    owner,
    startedAt: job.startedAt ?? now,
    reportSeq: 0,
    heartbeatAt: now,
    leaseUntil: now + leaseOf(job, policy),
    attemptBy: now + policy.attempt_ms,
    stage: 'starting',
    message: null,
    fps: null,
    speed: null,
    etaMs: null,
  };
}

/** Ends the current attempt: waits for the next one while the failure's budget lasts, or fails. */
export function loseAttempt(
  job: LiveJob,
  cause: Failure,
  mayRetry: boolean,
  given: Given,
): Decision {
  const { now, random, policy } = given;
  const rule = FAILURES[cause.code].retry;
  const failures = job.failures + (rule === 'attempt' ? 1 : 0);
  const losses = job.losses + (rule === 'platform' ? 1 : 0);
  const left = rule === 'attempt' ? failures < policy.max_attempts : losses <= policy.max_losses;
  if (rule === 'never' || !mayRetry || !left) return fail({ ...job, failures, losses }, cause, now);
  const retryAt = now + retryDelay(failures + losses - 1, random, policy);
  return changed(
    {
      ...shared(job),
      state: 'retry_wait',
      attempt: job.attempt + 1,
      failures,
      losses,
      progress: 0,
      lastFailure: cause,
      retryAt,
    },
    'retrying',
    now,
    ['mirror', ...stopping(job)],
  );
}

/** Ends the job as failed. */
export function fail(job: LiveJob, cause: Failure, now: number): Decision {
  return end(
    { ...shared(job), state: 'failed', failure: cause, completedAt: now },
    'error',
    stopping(job),
  );
}

/** Stops the GPU job that nobody needs any more. */
export function stopping(job: LiveJob): Effect[] {
  const remoteId = job.state === 'dispatched' || job.state === 'running' ? job.remoteId : null;
  return remoteId === null ? [] : [stop(remoteId)];
}

/** The effect that stops one job of the provider. */
export function stop(remoteId: string): Effect {
  return `stop:${remoteId}`;
}

/** Ends the job; an ended job never changes again. */
export function end(
  job: Extract<Job, { completedAt: number }>,
  happening: Happening,
  effects: Effect[],
): Decision {
  return changed(job, happening, job.completedAt, ['mirror', ...effects]);
}

/** A change: the next sequence number, and what it must cause. */
export function changed(
  job: Job,
  happening: Happening,
  now: number,
  effects: Effect[] = [],
): Decision {
  return {
    kind: 'changed',
    job: { ...job, seq: job.seq + 1, updatedAt: now },
    happening,
    effects,
  };
}

/** What every state of a job has. */
export function shared(job: Job) {
  return {
    id: job.id,
    tenant: job.tenant,
    request: job.request,
    requestHash: job.requestHash,
    seq: job.seq,
    attempt: job.attempt,
    failures: job.failures,
    losses: job.losses,
    progress: job.progress,
    lastFailure: job.lastFailure,
    closed: job.closed,
    createdAt: job.createdAt,
    updatedAt: job.updatedAt,
    startedAt: job.startedAt,
    mirroredAt: job.mirroredAt,
    deadlineAt: job.deadlineAt,
  };
}

/** How long a renderer of this job may be silent, ms. */
export function leaseOf(job: Job, policy: Policy): number {
  return job.request ? policy.lease_ms : policy.manual_lease_ms;
}
