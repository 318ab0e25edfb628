import type { FailureCode } from '@export-jobs/protocol';
import {
  changed,
  end,
  fail,
  failure,
  lookFirst,
  loseAttempt,
  loseSilently,
  offeredByHand,
  shared,
  start,
  stopping,
} from './attempt.ts';
import type { Change } from './attempt.ts';
import { refused, unchanged } from './events.ts';
import type { Decision, Effect, EventOf, Given, JobEvent } from './events.ts';
import { isEnded } from './job.ts';
import type { Job, JobIn, LiveJob } from './job.ts';
import { onOutcome } from './outcomes.ts';
import { onClaim, onReport } from './reports.ts';
import { askAt, runningDeadlines } from './schedule.ts';

// Responsible for every decision about a job, as a pure function of what is known.
// Must not read a clock, draw a random number or reach any storage: all of that is passed in.

/**
 * Decides what an event does to a job. Never mutates its arguments; a no-op returns the very same
 * job. The table of every state and event is in SPEC.md.
 */
export function transition(job: Job | null, event: JobEvent, given: Given): Decision {
  return job === null ? withoutJob(event, given) : decide(job, event, given);
}

function decide(job: Job, event: JobEvent, given: Given): Decision {
  // Only a renderer's reports, and those of a person in its place, say who speaks.
  if ('from' in event) return onReport(job, event, given);
  if (event.type === 'init') return onInit(job, event);
  if (event.type === 'claim') return onClaim(job, event, given);
  if (event.type === 'cancel') return onCancel(job, given);
  if (event.type === 'tick') return onTick(job, given);
  return onOutcome(job, event, given);
}

function withoutJob(event: JobEvent, given: Given): Decision {
  if (event.type === 'init') return create(event, given);
  // A token proves that the job was there once; a hand-made call has only not initialised it.
  if (event.type === 'claim') return refused('job_finished');
  if ('from' in event) return refused(event.from ? 'job_finished' : 'job_not_initialised');
  return refused('job_not_found');
}

function create(event: EventOf<'init'>, { now, policy }: Given): Decision {
  const base = {
    id: event.id,
    tenant: event.tenant,
    request: event.request,
    requestHash: event.requestHash,
    seq: 1,
    attempt: 1,
    failures: 0,
    losses: 0,
    outages: 0,
    progress: event.progress,
    lastFailure: null,
    closed: null,
    createdAt: now,
    updatedAt: now,
    startedAt: null,
    mirroredAt: now,
    deadlineAt: now + policy.job_ms,
  };
  const job: Job = { ...base, state: 'dispatching', doubts: 0 };
  if (event.request) {
    return { kind: 'changed', job, happening: 'created', effects: ['mirror', 'dispatch:1'] };
  }
  const waiting = offeredByHand(job);
  const byHand = event.processing ? start(waiting, null, { now, policy }) : waiting;
  return { kind: 'changed', job: byHand, happening: 'created', effects: ['mirror'] };
}

function onInit(job: Job, event: EventOf<'init'>): Decision {
  return event.requestHash === job.requestHash ? unchanged(job) : refused('idempotency_conflict');
}

function onCancel(job: Job, { now }: Given): Decision {
  if (job.state === 'cancelled') return unchanged(job);
  if (isEnded(job)) return refused('cancel_conflict');
  return end({ ...shared(job), state: 'cancelled', completedAt: now }, 'cancelled', stopping(job));
}

function onTick(job: Job, given: Given): Decision {
  const { now } = given;
  if (isEnded(job)) return unchanged(job);
  if (job.state === 'adopting') {
    return now >= job.lookUntil ? fail(job, job.failure, now) : unchanged(job);
  }
  if (now >= job.deadlineAt) return timeOut(job, given);
  switch (job.state) {
    case 'dispatching':
      return unchanged(job);
    case 'dispatched':
      if (job.request && now >= job.startBy) return notStarted(job, given);
      return askWhenDue(job, given);
    case 'running':
      return onRunningTick(job, given);
    case 'retry_wait':
      return now >= job.retryAt ? nextAttempt(job, given) : unchanged(job);
  }
}

/** The job's own time is up. */
function timeOut(job: LiveJob, given: Given): Change {
  const cause = failure('job_timeout');
  return job.state === 'running' ? lookFirst(job, cause, given) : fail(job, cause, given.now);
}

function onRunningTick(job: JobIn<'running'>, given: Given): Decision {
  const over = overdue(job, given);
  return over ? loseSilently(job, over, given) : askWhenDue(job, given);
}

/** Nobody has claimed the attempt in time. */
function notStarted(job: JobIn<'dispatched'>, given: Given): Change {
  return job.remoteId === null
    ? handOver(job, given.now, job.doubts)
    : loseAttempt(job, failure('start_timeout'), true, given);
}

function handOver(job: LiveJob, now: number, doubts = 0): Change {
  const next: Job = { ...shared(job), state: 'dispatching', doubts };
  // Of a hand-over that is repeated D1 shows nothing new.
  const mirror: Effect[] = doubts > 0 ? [] : ['mirror'];
  return changed(next, 'handing_over', now, [...mirror, `dispatch:${job.attempt}`]);
}

/** Asks the provider how the job stands there. */
function askWhenDue(job: JobIn<'dispatched' | 'running'>, { now, policy }: Given): Decision {
  if (job.remoteId === null || now < askAt(job, policy)) return unchanged(job);
  const asked =
    job.state === 'running' ? { ...job, askedAt: now } : { ...job, askAt: now + policy.ask_ms };
  return changed(asked, 'progress', now, [`ask:${job.remoteId}`]);
}

/** Why a running attempt cannot go on, or null. */
function overdue(job: JobIn<'running'>, { now, policy }: Given): FailureCode | null {
  const { attemptBy, stageBy, stallBy, leaseUntil } = runningDeadlines(job, policy);
  if (now >= leaseUntil) return 'renderer_lost';
  if (now >= attemptBy || now >= stageBy) return 'attempt_timeout';
  return now >= stallBy ? 'encoder_stalled' : null;
}

function nextAttempt(job: JobIn<'retry_wait'>, { now }: Given): Decision {
  return job.request
    ? handOver(job, now)
    : changed(offeredByHand(job), 'dispatched', now, ['mirror']);
}
