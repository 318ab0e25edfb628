import { FAILURES } from '@export-jobs/protocol';
import type { Failure, FailureCode } from '@export-jobs/protocol';
import { gpuTimes, isSpent } from './cost.ts';
import { noted } from './events.ts';
import type { Decision, Effect, Given, Happening } from './events.ts';
import type { Job, JobIn, LiveJob } from './job.ts';
import type { Policy } from './policy.ts';
import { retryDelay, silentAt } from './schedule.ts';

// The steps that transitions are made of: an attempt starts, is lost, or a job ends.

/** The distance between the numbers of two changes; a permille of progress fits in between. */
export const SEQ_STEP = 1000;

/** A decision that changes the job. */
export type Change = Extract<Decision, { kind: 'changed' }>;

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
  hardware = 'cpu',
): JobIn<'running'> {
  const recorded = job.state === 'dispatched' || job.state === 'running' ? job.remoteId : null;
  return {
    ...shared(job, now),
    state: 'running',
    remoteId: owner?.remoteId ?? recorded,
    owner,
    hardware,
    claimedAt: now,
    epochs: Math.max(job.epochs, owner?.epoch ?? 0),
    startedAt: job.startedAt ?? now,
    reportSeq: 0,
    heartbeatAt: now,
    leaseUntil: now + leaseOf(job, policy),
    attemptBy: now + policy.attempt_ms,
    stage: 'starting',
    stageAt: now,
    movedAt: now,
    ownPercent: 0,
    askAt: null,
    quietSince: null,
    message: null,
    fps: null,
    speed: null,
    etaMs: null,
    megapixels: null,
  };
}

type Spent = Pick<Job, 'failures' | 'losses' | 'outages'>;

/** Ends the current attempt: waits for the next one while the failure's budget lasts, or fails. */
export function loseAttempt(job: LiveJob, cause: Failure, mayRetry: boolean, given: Given): Change {
  const spent = spend(job, cause.code);
  if (!mayRetry || !isAnyLeft(spent, cause, given.policy)) {
    return fail({ ...job, ...spent }, cause, given.now);
  }
  return isSpent(job, given.policy, given.now)
    ? fail({ ...job, ...spent }, failure('spend_cap_reached'), given.now)
    : retryLater(job, spent, cause, given);
}

/** The same for a running attempt that may have left its output, which is looked for. */
export function loseAndLook(
  job: JobIn<'running'>,
  cause: Failure,
  mayRetry: boolean,
  given: Given,
): Change {
  const spent = spend(job, cause.code);
  if (!mayRetry || !isAnyLeft(spent, cause, given.policy)) {
    return lookFirst({ ...job, ...spent }, cause, given);
  }
  if (isSpent(job, given.policy, given.now)) {
    return lookFirst({ ...job, ...spent }, failure('spend_cap_reached'), given);
  }
  const lost = retryLater(job, spent, cause, given);
  return { ...lost, effects: [...lost.effects, ...adopting(job)] };
}

/** Loses the attempt of a renderer that says nothing of use. */
export function loseSilently(job: JobIn<'running'>, code: FailureCode, given: Given): Change {
  return loseAndLook(job, failure(code), true, given);
}

/** Fails a running job, but only after the output that its attempt may have left was looked for. */
export function lookFirst(
  job: JobIn<'running'>,
  cause: Failure,
  { now, policy }: Pick<Given, 'now' | 'policy'>,
): Change {
  const { attempt, owner } = job;
  if (owner === null) return fail(job, cause, now);
  const last: Job = {
    ...shared(job, now),
    state: 'adopting',
    by: { attempt, epoch: owner.epoch },
    failure: cause,
    lastFailure: cause,
    lookUntil: Math.max(job.deadlineAt, now + policy.look_ms),
  };
  return changed(last, 'adopting', now, [...stopping(job), ...adopting(job)]);
}

function isAnyLeft({ failures, losses, outages }: Spent, cause: Failure, policy: Policy): boolean {
  return (
    FAILURES[cause.code].retry !== 'never' &&
    failures < policy.max_attempts &&
    losses <= policy.max_losses &&
    outages <= policy.max_outages
  );
}

function retryLater(job: LiveJob, spent: Spent, cause: Failure, given: Given): Change {
  const { now, random, policy } = given;
  const retries = spent.failures + spent.losses + spent.outages - 1;
  const next: Job = {
    ...shared(job, now),
    ...spent,
    state: 'retry_wait',
    attempt: job.attempt + 1,
    progress: 0,
    progressBefore: overallOf(job),
    lastFailure: cause,
    retryAt: now + retryDelay(retries, random, policy),
  };
  return changed(next, 'retrying', now, ['mirror', ...stopping(job)]);
}

function spend({ failures, losses, outages }: Job, code: FailureCode): Spent {
  switch (FAILURES[code].retry) {
    case 'attempt':
      return { failures: failures + 1, losses, outages };
    case 'platform':
      return { failures, losses: losses + 1, outages };
    case 'outage':
      return { failures, losses, outages: outages + 1 };
    case 'never':
      return { failures, losses, outages };
  }
}

/** The job while somebody may come and claim its attempt. */
export function offered(
  job: LiveJob,
  offer: Pick<JobIn<'dispatched'>, 'remoteId' | 'startBy' | 'askAt' | 'doubts'>,
): JobIn<'dispatched'> {
  return { ...shared(job), state: 'dispatched', waiting: null, asks: 0, ...offer };
}

/** The same for a job made by hand, whose renderer may come until the end. */
export function offeredByHand(job: LiveJob): JobIn<'dispatched'> {
  const { deadlineAt } = job;
  return offered(job, { remoteId: null, startBy: deadlineAt, askAt: deadlineAt, doubts: 0 });
}

/**
 * Something speaks against the renderer, which was just heard: the provider is asked when it has been
 * silent for a while. What is known of it is kept, so that a sleep does not give it another lease.
 */
export function askLater(job: JobIn<'running'>, { policy }: Pick<Given, 'policy'>): Decision {
  const quietSince = Math.max(job.heartbeatAt, job.quietSince ?? 0);
  return noted({ ...job, quietSince, askAt: silentAt(job, policy) }, { isKept: true });
}

/** Looks for a finished output of the present owner. */
export function adopting({ attempt, owner }: JobIn<'running'>): Effect[] {
  return owner ? [`adopt:${attempt}.${owner.epoch}`] : [];
}

/** Ends the job as failed. */
export function fail(job: LiveJob, cause: Failure, now: number): Change {
  const failed: Job = { ...shared(job, now), state: 'failed', failure: cause, completedAt: now };
  return end(failed, 'error', stopping(job));
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

/** Ends the job; an ended job never changes again. What its other attempts left is thrown away. */
export function end(
  job: Extract<Job, { completedAt: number }>,
  happening: Happening,
  effects: Effect[],
): Change {
  const only = job.state === 'complete' && job.attempt === 1 && job.by?.epoch === 1;
  const tidy = !only && job.startedAt !== null;
  const discard: Effect[] = tidy && job.request ? ['discard'] : [];
  return changed(job, happening, job.completedAt, ['mirror', ...effects, ...discard]);
}

/** The number of the change that a number belongs to, without the reports since. */
export function changeSeq(seq: number): number {
  return Math.floor(seq / SEQ_STEP) * SEQ_STEP;
}

/** The number of the next change, above all that reports can have had. */
export function nextSeq(seq: number): number {
  return changeSeq(seq) + SEQ_STEP;
}

/** The number of a report: the one of the last change, and the permille of progress. */
export function reportSeqOf(seq: number, progress: number): number {
  return changeSeq(seq) + Math.min(SEQ_STEP - 1, permilleOf(progress));
}

/** Progress as finely as its number tells it; a tenth of a percent has no exact binary fraction. */
export function permilleOf(progress: number): number {
  return Math.floor(progress * 10 + 1e-6);
}

/** How far a bar has come: a new attempt shares out anew what the one before left of it. */
export function overallOf({ state, progress, progressBefore }: Overall): number {
  if (state === 'complete') return 100;
  const whole = progressBefore + ((100 - progressBefore) * progress) / 100;
  return Math.min(99.9, permilleOf(whole) / 10);
}
type Overall = Pick<Job, 'state' | 'progress' | 'progressBefore'>;

/**
 * The percent that a viewer saw last, by the number that it names, if that is of the job's last change;
 * else 0. What the object forgot of reports its viewers still know.
 */
export function seenProgress(job: Job, since: number): number {
  const isOfLast = changeSeq(since) === changeSeq(job.seq);
  return isOfLast ? (since % SEQ_STEP) / 10 : 0;
}

/** A change: the next sequence number, and what it must cause. */
export function changed(
  job: Job,
  happening: Happening,
  now: number,
  effects: Effect[] = [],
): Change {
  return {
    kind: 'changed',
    job: { ...job, seq: nextSeq(job.seq), updatedAt: now },
    happening,
    effects,
  };
}

/** What every state of a job has. Given the time, a running attempt is over by then. */
export function shared(job: Job, endedAt?: number) {
  return {
    id: job.id,
    tenant: job.tenant,
    request: job.request,
    requestHash: job.requestHash,
    seq: job.seq,
    attempt: job.attempt,
    failures: job.failures,
    losses: job.losses,
    outages: job.outages,
    progress: job.progress,
    progressBefore: job.progressBefore,
    lastFailure: job.lastFailure,
    closed: job.closed,
    epochs: job.epochs,
    gpu: endedAt === undefined ? job.gpu : gpuTimes(job, endedAt),
    createdAt: job.createdAt,
    updatedAt: job.updatedAt,
    startedAt: job.startedAt,
    deadlineAt: job.deadlineAt,
  };
}

/** How long a renderer of this job may be silent, ms. */
export function leaseOf(job: Job, policy: Policy): number {
  return job.request ? policy.lease_ms : policy.manual_lease_ms;
}
