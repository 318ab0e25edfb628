import { FAILURES } from '@export-jobs/protocol';
import {
  adopting,
  changed,
  end,
  failure,
  leaseOf,
  loseAndLook,
  loseAttempt,
  permilleOf,
  reportSeqOf,
  shared,
  start,
  stop,
} from './attempt.ts';
import { noted, refused, sameCaller, unchanged } from './events.ts';
import type { Caller, Decision, EventOf, Given } from './events.ts';
import { isEnded } from './job.ts';
import type { Job, JobIn } from './job.ts';

// What the calls of a renderer do to its job: the claim, and what the owner of an attempt says.

/** A call that only the owner of the running attempt, or a person by hand, may make. */
export type Report = EventOf<'progress' | 'verifying' | 'complete' | 'error'>;

/** Decides a call of the attempt's owner. */
export function onReport(job: Job, event: Report, given: Given): Decision {
  switch (event.type) {
    case 'progress':
      return onProgress(job, event, given);
    case 'verifying':
      return onVerifying(job, event, given);
    case 'complete':
      return onComplete(job, event, given);
    case 'error':
      return onError(job, event, given);
  }
}

/** Decides who owns the attempt. */
export function onClaim(job: Job, event: EventOf<'claim'>, given: Given): Decision {
  if (isEnded(job)) return refused('job_finished');
  const isOver = job.state === 'retry_wait' || job.state === 'adopting';
  if (event.attempt !== job.attempt || isOver) return refused('stale_attempt');
  if (job.state === 'running') return onSecondClaim(job, event, given);
  const { nonce, remoteId, workerId, hardware } = event;
  const owner = { nonce, remoteId, workerId, epoch: 1, fenced: [] };
  const running = start(job, owner, given, hardware);
  // A hand-over whose answer was lost may have been repeated: the first to claim has the attempt.
  const recorded = job.state === 'dispatched' ? job.remoteId : null;
  const twin = recorded !== null && remoteId !== null && recorded !== remoteId;
  return changed(running, 'claimed', given.now, ['mirror', ...(twin ? [stop(recorded)] : [])]);
}

function onSecondClaim(job: JobIn<'running'>, event: EventOf<'claim'>, given: Given): Decision {
  const { nonce, remoteId, workerId, hardware } = event;
  if (job.owner?.nonce === nonce) return unchanged(job);
  // The provider hands the same job out again only when it has given the older process up.
  const redelivered = remoteId !== null && job.owner?.remoteId === remoteId;
  // An older process that comes again, or a late copy of its claim, is no redelivery.
  if (!job.owner || !redelivered || job.owner.fenced.includes(nonce)) return refused('not_owner');
  const epoch = job.owner.epoch + 1;
  const fenced = [...job.owner.fenced, job.owner.nonce];
  const running = start(job, { nonce, remoteId, workerId, epoch, fenced }, given, hardware);
  const lastFailure = failure('renderer_lost');
  const next = { ...running, lastFailure, attemptBy: job.attemptBy };
  // D1 shows nothing of who owns an attempt.
  return changed(next, 'claimed', given.now, adopting(job));
}

function onProgress(job: Job, event: EventOf<'progress'>, given: Given): Decision {
  const admitted = admit(job, event.from, given);
  if (admitted.kind !== 'running') return admitted;
  const running = admitted.job;
  if (event.from && event.seq <= running.reportSeq) return unchanged(job);
  const { now } = given;
  const begins = job.state !== 'running';
  // 100 means that the file is there, so of a dispatched job only `complete` may say it.
  const reported = Math.max(running.progress, event.percent);
  const progress = job.request ? Math.min(99.9, permilleOf(reported) / 10) : reported;
  const next: JobIn<'running'> = {
    ...renewed(running, event, given),
    ...movement(running, event, begins ? 'rendering' : running.stage, now),
    progress,
    ownPercent: Math.max(running.ownPercent, event.percent),
    reportSeq: event.from ? event.seq : running.reportSeq,
    message: event.message,
    fps: event.fps,
    speed: event.speed,
    etaMs: event.etaMs,
    megapixels: event.megapixels ?? running.megapixels,
  };
  // Of a job by hand each report is an event, and in D1, as the contract says.
  if (!job.request) return changed(next, 'progress', now, ['mirror']);
  return hint({ ...next, seq: Math.max(job.seq, reportSeqOf(job.seq, progress)) }, running, given);
}

/** A report is only a hint, unless it ends a doubt: then it must outlive the memory. */
function hint(next: JobIn<'running'>, was: JobIn<'running'>, { now }: Given): Decision {
  const isKept = was.quietSince !== null;
  return noted({ ...next, updatedAt: now, quietSince: null }, { isKept, isNews: true });
}

/** The attempt after a sign of life of its owner. */
function renewed(
  job: JobIn<'running'>,
  { bySocket }: EventOf<'progress' | 'verifying'>,
  { now, policy }: Given,
): JobIn<'running'> {
  const lease = leaseOf(job, policy);
  const patience = bySocket ? Math.max(lease, policy.connected_ms) : lease;
  // A call by POST takes nothing back: its socket may be open all the same, and the alarm is set for that.
  const leaseUntil = Math.max(job.leaseUntil, now + patience);
  return { ...job, heartbeatAt: now, leaseUntil, askAt: null };
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
  return event.percent > running.ownPercent ? { movedAt: now } : {};
}

/** A renderer that says it is done is alive: looking at its file must not cost it the lease. */
function onVerifying(job: Job, event: EventOf<'verifying'>, given: Given): Decision {
  const admitted = admit(job, event.from, given);
  if (admitted.kind !== 'running') return admitted;
  const { stage, stageAt, etaMs, updatedAt } = admitted.job;
  const stageFrom = stage === 'verifying' ? stageAt : given.now;
  const left = etaMs === null ? null : Math.max(0, etaMs - (given.now - updatedAt));
  const moved = {
    stage: 'verifying',
    stageAt: stageFrom,
    movedAt: given.now,
    etaMs: left,
  } as const;
  return hint({ ...renewed(admitted.job, event, given), ...moved }, admitted.job, given);
}

function onComplete(job: Job, event: EventOf<'complete'>, given: Given): Decision {
  if (job.state === 'complete' && sameCaller(job.by, event.from)) {
    return job.output.key === event.output.key ? unchanged(job) : refused('job_finished');
  }
  const admitted = admit(job, event.from, given);
  if (admitted.kind !== 'running') return admitted;
  const { output, verified, from: by } = event;
  const { hardware, claimedAt } = admitted.job;
  const ms = Math.max(0, Math.round(given.now - claimedAt));
  return end(
    {
      ...shared(admitted.job, given.now),
      progress: 100,
      state: 'complete',
      output,
      verified,
      by,
      rendered: by && { hardware, ms },
      completedAt: given.now,
    },
    'complete',
    [],
  );
}

function onError(job: Job, event: EventOf<'error'>, given: Given): Decision {
  if (event.from && sameCaller(job.closed, event.from)) return unchanged(job);
  const admitted = admit(job, event.from, given);
  if (admitted.kind !== 'running') return admitted;
  const closed = { ...admitted.job, closed: event.from };
  // What the attempt made may be bad only if the attempt itself failed, not what it stands on.
  const isBad = ['never', 'attempt'].includes(FAILURES[event.failure.code].retry);
  const lose = isBad ? loseAttempt : loseAndLook;
  return lose(closed, event.failure, event.mayRetry, given);
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
