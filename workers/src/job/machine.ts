import type { FailureCode, ProblemCode } from '@export-jobs/protocol';
import {
  adopting,
  changed,
  end,
  fail,
  failure,
  leaseOf,
  loseAttempt,
  loseSilently,
  shared,
  start,
  stop,
  stopping,
} from './attempt.ts';
import type { Caller, Decision, EventOf, Given, JobEvent } from './events.ts';
import { isEnded } from './job.ts';
import type { Job, JobIn } from './job.ts';
import { runningDeadlines } from './schedule.ts';

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
  switch (event.type) {
    case 'init':
      return onInit(job, event);
    case 'dispatched':
      return onDispatched(job, event, given);
    case 'dispatch_failed':
      return onDispatchFailed(job, event, given);
    case 'claim':
      return onClaim(job, event, given);
    case 'progress':
      return onProgress(job, event, given);
    case 'verifying':
      return onVerifying(job, event, given);
    case 'complete':
      return onComplete(job, event, given);
    case 'adopt':
      return onAdopt(job, event, given);
    case 'error':
      return onError(job, event, given);
    case 'cancel':
      return onCancel(job, given);
    case 'tick':
      return onTick(job, given);
  }
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
  if (event.request) {
    const job: Job = { ...base, state: 'dispatching' };
    return { kind: 'changed', job, happening: 'created', effects: ['mirror', 'dispatch:1'] };
  }
  const waiting: JobIn<'dispatched'> = {
    ...base,
    state: 'dispatched',
    remoteId: null,
    startBy: base.deadlineAt,
  };
  const job = event.processing ? start(waiting, null, { now, policy }) : waiting;
  return { kind: 'changed', job, happening: 'created', effects: ['mirror'] };
}

function onInit(job: Job, event: EventOf<'init'>): Decision {
  return event.requestHash === job.requestHash ? unchanged(job) : refused('idempotency_conflict');
}

function onDispatched(job: Job, event: EventOf<'dispatched'>, { now, policy }: Given): Decision {
  const { remoteId } = event;
  const current = event.attempt === job.attempt;
  if (job.state === 'dispatching' && current) {
    const next: Job = { ...job, state: 'dispatched', remoteId, startBy: now + policy.start_ms };
    return changed(next, 'dispatched', now, ['mirror']);
  }
  // The renderer may claim before the answer of the hand-over is recorded.
  const known = (job.state === 'running' || job.state === 'dispatched') && current;
  if (known && job.remoteId === null) {
    return changed({ ...job, remoteId }, 'dispatched', now, ['mirror']);
  }
  if (known && job.remoteId === remoteId) return unchanged(job);
  return { kind: 'unchanged', job, effects: [stop(remoteId)] };
}

function onDispatchFailed(job: Job, event: EventOf<'dispatch_failed'>, given: Given): Decision {
  return job.state === 'dispatching' && event.attempt === job.attempt
    ? loseAttempt(job, failure('dispatch_failed'), true, given)
    : unchanged(job);
}

function onClaim(job: Job, event: EventOf<'claim'>, given: Given): Decision {
  if (isEnded(job)) return refused('job_finished');
  if (event.attempt !== job.attempt || job.state === 'retry_wait') return refused('stale_attempt');
  if (job.state === 'running') return onSecondClaim(job, event, given);
  const { nonce, remoteId, workerId } = event;
  const running = start(job, { nonce, remoteId, workerId, epoch: 1 }, given);
  // A hand-over whose answer was lost may have been repeated: the first to claim has the attempt.
  const recorded = job.state === 'dispatched' ? job.remoteId : null;
  const twin = recorded !== null && remoteId !== null && recorded !== remoteId;
  return changed(running, 'claimed', given.now, ['mirror', ...(twin ? [stop(recorded)] : [])]);
}

function onSecondClaim(job: JobIn<'running'>, event: EventOf<'claim'>, given: Given): Decision {
  const { nonce, remoteId, workerId } = event;
  if (job.owner?.nonce === nonce) return unchanged(job);
  // The provider hands the same job out again only when it has given the older process up.
  const redelivered = remoteId !== null && job.owner?.remoteId === remoteId;
  if (!job.owner || !redelivered) return refused('not_owner');
  const epoch = job.owner.epoch + 1;
  const running = start(job, { nonce, remoteId, workerId, epoch }, given);
  const lastFailure = failure('renderer_lost');
  const next = { ...running, lastFailure, attemptBy: job.attemptBy };
  return changed(next, 'claimed', given.now, ['mirror', ...adopting(job)]);
}

function onProgress(job: Job, event: EventOf<'progress'>, given: Given): Decision {
  const admitted = admit(job, event.from, given);
  if (admitted.kind !== 'running') return admitted;
  const running = admitted.job;
  if (event.from && event.seq <= running.reportSeq) return unchanged(job);
  const { now, policy } = given;
  const begins = job.state !== 'running';
  const mirrorEvery = job.request ? policy.mirror_progress_ms : 0;
  const mirror = begins || now - job.mirroredAt >= mirrorEvery;
  const next: Job = {
    ...running,
    ...movement(running, event, begins ? 'rendering' : running.stage, now),
    // 100 means that the file is there, so of a dispatched job only `complete` may say it.
    progress: Math.min(job.request ? 99.9 : 100, Math.max(running.progress, event.percent)),
    reportSeq: event.from ? event.seq : running.reportSeq,
    heartbeatAt: now,
    leaseUntil: now + leaseOf(job, policy),
    mirroredAt: mirror ? now : job.mirroredAt,
    message: event.message,
    fps: event.fps,
    speed: event.speed,
    etaMs: event.etaMs,
  };
  return changed(next, 'progress', now, mirror ? ['mirror'] : []);
}

/** Which stage a report leaves the job in, and since when; and when anything moved. */
function movement(
  running: JobIn<'running'>,
  event: EventOf<'progress'>,
  silent: JobIn<'running'>['stage'],
  now: number,
) {
  const stage = event.stage ?? silent;
  if (stage !== running.stage) return { stage, stageAt: now, movedAt: now };
  return event.percent > running.progress ? { movedAt: now } : {};
}

/** A renderer that says it is done is alive: looking at its file must not cost it the lease. */
function onVerifying(job: Job, event: EventOf<'verifying'>, given: Given): Decision {
  const admitted = admit(job, event.from, given);
  if (admitted.kind !== 'running') return admitted;
  const { now, policy } = given;
  const leaseUntil = now + leaseOf(job, policy);
  const { stage, stageAt } = admitted.job;
  const next: Job = {
    ...admitted.job,
    stage: 'verifying',
    stageAt: stage === 'verifying' ? stageAt : now,
    movedAt: now,
    heartbeatAt: now,
    leaseUntil,
  };
  return changed(next, 'progress', now);
}

function onComplete(job: Job, event: EventOf<'complete'>, given: Given): Decision {
  if (job.state === 'complete' && sameCaller(job.by, event.from)) {
    return job.output.key === event.output.key ? unchanged(job) : refused('job_finished');
  }
  const admitted = admit(job, event.from, given);
  if (admitted.kind !== 'running') return admitted;
  const { output, verified, from: by } = event;
  return end(
    {
      ...shared(admitted.job),
      progress: 100,
      state: 'complete',
      output,
      verified,
      by,
      completedAt: given.now,
    },
    'complete',
    [],
  );
}

/** A verified output of any attempt is what was asked for: the job needs no other. */
function onAdopt(job: Job, { by, output }: EventOf<'adopt'>, { now }: Given): Decision {
  if (isEnded(job)) return unchanged(job);
  const done: Job = {
    ...shared(job),
    progress: 100,
    state: 'complete',
    output,
    verified: true,
    by,
    completedAt: now,
  };
  return end(done, 'complete', stopping(job));
}

function onError(job: Job, event: EventOf<'error'>, given: Given): Decision {
  if (event.from && sameCaller(job.closed, event.from)) return unchanged(job);
  const admitted = admit(job, event.from, given);
  if (admitted.kind !== 'running') return admitted;
  const closed = { ...admitted.job, closed: event.from };
  return loseAttempt(closed, event.failure, event.mayRetry, given);
}

function onCancel(job: Job, { now }: Given): Decision {
  if (job.state === 'cancelled') return unchanged(job);
  if (isEnded(job)) return refused('cancel_conflict');
  return end({ ...shared(job), state: 'cancelled', completedAt: now }, 'cancelled', stopping(job));
}

function onTick(job: Job, given: Given): Decision {
  const { now } = given;
  if (isEnded(job)) return unchanged(job);
  if (now >= job.deadlineAt) return fail(job, failure('job_timeout'), now);
  switch (job.state) {
    case 'dispatching':
      return unchanged(job);
    case 'dispatched':
      return job.request && now >= job.startBy
        ? loseAttempt(job, failure('start_timeout'), true, given)
        : unchanged(job);
    case 'running': {
      const over = overdue(job, given);
      return over ? loseSilently(job, over, given) : unchanged(job);
    }
    case 'retry_wait':
      return now >= job.retryAt ? nextAttempt(job, given) : unchanged(job);
  }
}

/** Why a running attempt cannot go on, or null. */
function overdue(job: JobIn<'running'>, { now, policy }: Given): FailureCode | null {
  const { attemptBy, stageBy, stallBy, leaseUntil } = runningDeadlines(job, policy);
  if (now >= leaseUntil) return 'renderer_lost';
  if (now >= attemptBy || now >= stageBy) return 'attempt_timeout';
  return now >= stallBy ? 'encoder_stalled' : null;
}

function nextAttempt(job: JobIn<'retry_wait'>, { now }: Given): Decision {
  const { retryAt: _, ...rest } = job;
  return job.request
    ? changed({ ...rest, state: 'dispatching' }, 'dispatched', now, [
        'mirror',
        `dispatch:${job.attempt}`,
      ])
    : changed(
        { ...rest, state: 'dispatched', remoteId: null, startBy: job.deadlineAt },
        'dispatched',
        now,
        ['mirror'],
      );
}

/** Lets a call through to the running attempt that it belongs to, or says why not. */
function admit(
  job: Job,
  from: Caller,
  given: Given,
): { kind: 'running'; job: JobIn<'running'> } | Exclude<Decision, { kind: 'changed' }> {
  if (isEnded(job)) return refused('job_finished');
  if (from === null) {
    // Calls by hand carry no fence, so they may only touch what nobody was dispatched for.
    if (job.request) return refused('not_owner');
    return { kind: 'running', job: job.state === 'running' ? job : start(job, null, given) };
  }
  if (from.attempt !== job.attempt) return refused('stale_attempt');
  if (job.state !== 'running' || job.owner?.epoch !== from.epoch) {
    return refused('not_owner');
  }
  return { kind: 'running', job };
}

function sameCaller(a: Caller, b: Caller): boolean {
  return a === null || b === null ? a === b : a.attempt === b.attempt && a.epoch === b.epoch;
}

function unchanged(job: Job): Extract<Decision, { kind: 'unchanged' }> {
  return { kind: 'unchanged', job };
}

function refused(code: ProblemCode): Extract<Decision, { kind: 'refused' }> {
  return { kind: 'refused', code };
}
