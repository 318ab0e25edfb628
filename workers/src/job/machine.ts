import type { FailureCode } from '@export-jobs/protocol';
import {
  SEQ_STEP,
  askLater,
  changed,
  end,
  fail,
  failure,
  leaseOf,
  lookFirst,
  loseAttempt,
  loseSilently,
  offeredByHand,
  shared,
  start,
  stopping,
} from './attempt.ts';
import type { Change } from './attempt.ts';
import { noted, refused, unchanged } from './events.ts';
import type { Decision, EventOf, Given, JobEvent } from './events.ts';
import { isEnded } from './job.ts';
import type { Job, JobIn, LiveJob } from './job.ts';
import { onOutcome } from './outcomes.ts';
import { onClaim, onReport } from './reports.ts';
import { askDelay, runningDeadlines, silentAt } from './schedule.ts';

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
  if (event.type === 'hung_up') return onHungUp(job, event, given);
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

function create(
  event: EventOf<'init'>,
  { now, policy }: Given,
): Extract<Decision, { kind: 'changed' }> {
  const base = {
    id: event.id,
    tenant: event.tenant,
    request: event.request,
    requestHash: event.requestHash,
    seq: SEQ_STEP,
    attempt: 1,
    failures: 0,
    losses: 0,
    outages: 0,
    progress: event.progress,
    progressBefore: 0,
    lastFailure: null,
    closed: null,
    epochs: 0,
    gpu: {},
    createdAt: now,
    updatedAt: now,
    startedAt: null,
    deadlineAt: now + policy.job_ms,
  };
  const job: Job = { ...base, state: 'dispatching', doubts: 0 };
  // Its row in D1 was written before.
  if (event.request) return { kind: 'changed', job, happening: 'created', effects: ['dispatch:1'] };
  const waiting = offeredByHand(job);
  const byHand = event.processing ? start(waiting, null, { now, policy }) : waiting;
  return { kind: 'changed', job: byHand, happening: 'created', effects: ['mirror'] };
}

function onInit(job: Job, event: EventOf<'init'>): Decision {
  const isSame = event.requestHash === job.requestHash && event.tenant === job.tenant;
  return isSame ? unchanged(job) : refused('idempotency_conflict');
}

function onCancel(job: Job, { now }: Given): Decision {
  if (job.state === 'cancelled') return unchanged(job);
  if (isEnded(job)) return refused('cancel_conflict');
  const cancelled: Job = { ...shared(job, now), state: 'cancelled', completedAt: now };
  return end(cancelled, 'cancelled', stopping(job));
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
      return askWhileWaiting(job, given);
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

function onRunningTick(was: JobIn<'running'>, given: Given): Decision {
  const { now } = given;
  const job = given.forgot ? doubted(was, given) : was;
  const over = overdue(job, given);
  if (over === 'spend_cap_reached') return lookFirst(job, failure(over), given);
  if (over) return loseSilently(job, over, given);
  if (job !== was) return noted(job, { isKept: true });
  if (job.askAt === null || now < job.askAt) return unchanged(job);
  return ask({ ...job, askAt: null }, given);
}

/** The job when reports may have been forgotten, and with them when it last moved, and from stage to stage. */
function doubted(job: JobIn<'running'>, { now, policy }: Given): JobIn<'running'> {
  if (job.request === null || job.quietSince !== null) return job;
  const askAt = now + policy.lease_ms / 2;
  return { ...job, quietSince: now, movedAt: now, stageAt: now, askAt };
}

/** A renderer whose socket is gone may come back, or be dead: the provider may know. */
function onHungUp(job: Job, { by }: EventOf<'hung_up'>, given: Given): Decision {
  if (job.state !== 'running' || job.attempt !== by.attempt || job.owner?.epoch !== by.epoch) {
    return unchanged(job);
  }
  const leaseUntil = job.heartbeatAt + leaseOf(job, given.policy);
  const isKnown = job.askAt !== null && job.leaseUntil <= leaseUntil;
  return isKnown ? unchanged(job) : askLater({ ...job, leaseUntil }, given);
}

/** Nobody has claimed the attempt in time. */
function notStarted(job: JobIn<'dispatched'>, given: Given): Change {
  return job.remoteId === null
    ? handOver(job, given.now, job.doubts)
    : loseAttempt(job, failure('start_timeout'), true, given);
}

function handOver(job: LiveJob, now: number, doubts = 0): Change {
  const next: Job = { ...shared(job), state: 'dispatching', doubts };
  return changed(next, 'handing_over', now, [`dispatch:${job.attempt}`]);
}

/** Asks the provider how the job stands there, and again later and later. */
function askWhileWaiting(job: JobIn<'dispatched'>, given: Given): Decision {
  const { now, policy } = given;
  if (job.remoteId === null || job.request === null || now < job.askAt) return unchanged(job);
  const asks = job.asks + 1;
  return ask({ ...job, asks, askAt: now + askDelay(asks, policy) }, given);
}

function ask(job: JobIn<'dispatched' | 'running'>, { now, policy }: Given): Decision {
  const isHeard = job.state === 'running' && now < silentAt(job, policy);
  const isKnown = job.remoteId !== null && !isHeard;
  return noted(job, { isKept: true, effects: isKnown ? [`ask:${job.remoteId}`] : [] });
}

/** Why a running attempt cannot go on, or null. */
function overdue(job: JobIn<'running'>, { now, policy }: Given): FailureCode | null {
  const { attemptBy, stageBy, stallBy, leaseUntil, spendBy } = runningDeadlines(job, policy);
  if (now >= leaseUntil) return 'renderer_lost';
  if (now >= spendBy) return 'spend_cap_reached';
  if (now >= attemptBy || now >= stageBy) return 'attempt_timeout';
  return now >= stallBy ? 'encoder_stalled' : null;
}

function nextAttempt(job: JobIn<'retry_wait'>, { now }: Given): Decision {
  return job.request ? handOver(job, now) : changed(offeredByHand(job), 'dispatched', now);
}
