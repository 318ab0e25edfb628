import { FAILURES } from '@export-jobs/protocol';
import { isEnded } from '../src/job/job.ts';
import type { Job, JobIn } from '../src/job/job.ts';
import type { Policy } from '../src/job/policy.ts';
import type { Ledger } from './ledger.ts';
import type { D1 } from './platform/d1.ts';
import type { Disk } from './platform/disk.ts';
import type { Provider } from './platform/provider.ts';
import type { R2 } from './platform/r2.ts';
import type { Cause, Stage } from './stage.ts';

// Responsible for the invariants of SPEC.md, checked after every commit by what is on the disk and by
// who caused it. Must not ask the machine what it thinks: the rules are said a second time here.

/** How late time itself may be obeyed, ms: a lost alarm, some lost sweeps, and crashes on the way. */
const LATENESS_MS = 20 * 60_000;

/** One commit of the job. */
export interface Change {
  readonly before: Job | null;
  readonly after: Job;
  readonly cause: Cause | null;
  readonly now: number;
}

/** Where the judge looks for itself. */
export interface Evidence extends Stage {
  readonly policy: Policy;
  readonly d1: D1;
  readonly r2: R2;
  readonly provider: Provider;
  readonly disk: Disk;
  readonly ledger: Ledger;
  /** When D1 last kept a sweep from its work, epoch ms. */
  readonly sweepFailedAt: number;
}

/** Says why a change breaks the rule, or nothing. */
type Rule = (change: Change, evidence: Evidence) => string | false;

const running = (job: Job | null): JobIn<'running'> | null =>
  job?.state === 'running' ? job : null;

const RULES: Readonly<Record<string, Rule>> = {
  I1: ({ before }) => before !== null && isEnded(before) && 'an ended job changes',

  I2: ({ before, after }) =>
    before?.attempt === after.attempt &&
    after.progress < before.progress &&
    `progress falls from ${before.progress} to ${after.progress}`,

  // Whoever changes what a renderer reports must be the owner of the running attempt.
  I3: ({ before, after, cause }) => {
    const [was, is] = [running(before), running(after)];
    if (!was || !is || was.owner?.epoch !== is.owner?.epoch) return false;
    const isReport = was.heartbeatAt !== is.heartbeatAt || was.progress !== is.progress;
    return isReport && !speaksFor(was, cause) && 'a report from outside the fence is taken';
  },

  I3b: ({ before, after, cause }) => {
    const [was, is] = [running(before), running(after)];
    if (!is?.owner || was?.owner?.nonce === is.owner.nonce) return false;
    return claimsWrongly(was?.owner ?? null, is.owner, after.attempt, cause);
  },

  I4: ({ before, after }) =>
    after.seq !== (before?.seq ?? 0) + 1 && `number ${after.seq} after ${before?.seq}`,

  // Time is obeyed, hardly later than alarms are lost and sweeps skipped; only D1 can hinder a sweep.
  'I6 lateness': ({ before, now }, { policy, sweepFailedAt }) => {
    const late = before ? now - Math.max(deadlineOf(before, policy), sweepFailedAt) : 0;
    return late > LATENESS_MS && `nothing hindered a sweep for ${late} ms after a deadline`;
  },

  'I6 lease': ({ after }, { policy }) =>
    after.state === 'running' &&
    after.leaseUntil !== after.heartbeatAt + policy.lease_ms &&
    'the lease does not follow the last report',

  // An attempt is lost, and a job fails, only for a reason that can be named.
  I6: (change, evidence) => {
    const { policy } = evidence;
    const { before, after, now } = change;
    const isOver = after.state === 'failed' || after.state === 'adopting';
    const isLost = before && (after.attempt > before.attempt || isOver);
    if (!isLost || now >= deadlineOf(before, policy) || before.state === 'adopting') return false;
    if (isRefusedByProvider(change) || isGivenUp(change)) return false;
    return !isOverAtProvider(change, evidence) && 'an attempt is lost for no reason';
  },

  // A job does not fail while the output of its last attempt, which nobody could report, is there.
  I7: ({ before, after, now }, { r2, policy }) => {
    if (after.state !== 'failed' || before?.state !== 'adopting') return false;
    if (now >= deadlineOf(before, policy)) return false;
    const { attempt, epoch } = before.by;
    return r2.hasOutput(`/${attempt}/${epoch}/video`, before.updatedAt) && 'an output is given up';
  },

  'I7 look': ({ before, after }) => {
    if (before?.state !== 'running' || after.state !== 'failed') return false;
    const { retry } = FAILURES[after.failure.code];
    return retry !== 'never' && retry !== 'attempt' && 'an output is not looked for';
  },

  // A renderer whose own numbers grow is not stalled, whatever others reported before it.
  'I6 stall': ({ before, after, now }, { policy, ledger }) => {
    const was = running(before);
    const isLost = after.state === 'retry_wait' || after.state === 'adopting';
    if (!was || !isLost || after.lastFailure?.code !== 'encoder_stalled') return false;
    const still = now - ledger.movedAt(`${was.attempt}.${was.owner?.epoch}`);
    return still < policy.stall_ms && `a renderer that moved ${still} ms ago is called stalled`;
  },

  I10: ({ before, after }, { policy }) => {
    if (after.attempt > policy.max_attempts + policy.max_losses + policy.max_outages)
      return `attempt ${after.attempt}`;
    if (after.failures > policy.max_attempts) return `${after.failures} failures`;
    if (before && after.attempt < before.attempt) return 'the attempt falls';
    const counted = after.failures + after.losses + after.outages;
    // The last attempt may be counted as lost, or cut off by the job's own deadline.
    const isCounted = after.attempt === counted + 1;
    const isLast = after.state === 'adopting' && after.attempt === counted;
    return !isEnded(after) && !isCounted && !isLast && 'attempts and losses differ';
  },

  // The file must be there, as it was reported, under the key of an owner of this job.
  I12: ({ after }, { r2 }) => {
    if (after.state !== 'complete') return false;
    const stored = r2.objects.get(after.output.key);
    if (!stored) return 'the file is not there';
    if (stored.size !== after.output.size) return 'the file has another size';
    if (stored.sha256 !== after.output.sha256) return 'the file has another checksum';
    const { attempt, epoch } = after.by ?? { attempt: 0, epoch: 0 };
    return !after.output.key.includes(`/${attempt}/${epoch}/`) && 'the file is not of its owner';
  },

  I13: ({ before, after, cause, now }, { policy }) =>
    before !== null &&
    cause?.kind === 'create' &&
    now < Math.min(deadlineOf(before, policy), choreAtOf(before, policy)) &&
    `a repeated create changes the job to ${after.state}`,
};

/** Checks one commit against every rule. */
export function judge(change: Change, evidence: Evidence): void {
  for (const [invariant, rule] of Object.entries(RULES)) {
    const broken = rule(change, evidence);
    if (broken !== false) evidence.violated(invariant, broken);
  }
}

/**
 * I6b: whatever was committed, the alarm is set, and no later than the earliest of the deadlines and
 * of what the outbox waits for.
 */
export function judgeAlarm(job: Job, dueAt: number | null, evidence: Evidence): void {
  const { policy, disk } = evidence;
  const wanted = isEnded(job)
    ? (dueAt ?? job.completedAt + policy.retention_ms)
    : Math.min(deadlineOf(job, policy), choreAtOf(job, policy), dueAt ?? Number.POSITIVE_INFINITY);
  const { alarm } = disk;
  if (alarm === null) evidence.violated('I6b', 'no alarm is set');
  else if (alarm > wanted) evidence.violated('I6b', `the alarm is ${alarm - wanted} ms too late`);
}

/** The earliest moment at which time alone may end the attempt or the job. */
export function deadlineOf(job: Job, policy: Policy): number {
  if (isEnded(job)) return Number.POSITIVE_INFINITY;
  if (job.state === 'adopting') return job.lookUntil;
  const limits = [job.deadlineAt];
  if (job.state === 'dispatched') limits.push(job.startBy);
  if (job.state === 'running') {
    limits.push(job.leaseUntil, job.attemptBy, job.movedAt + policy.stall_ms);
    if (job.stage !== 'rendering') limits.push(job.stageAt + policy.stage_ms);
  }
  return Math.min(...limits);
}

/** When time makes something happen that ends nothing: a retry, or a question to the provider. */
function choreAtOf(job: Job, policy: Policy): number {
  if (job.state === 'retry_wait') return job.retryAt;
  if (job.state === 'dispatched' && job.remoteId !== null) return job.askAt;
  if (job.state !== 'running' || job.remoteId === null) return Number.POSITIVE_INFINITY;
  const isAsked = job.askedAt > job.heartbeatAt;
  return isAsked ? Number.POSITIVE_INFINITY : job.heartbeatAt + policy.lease_ms / 2;
}

/** An attempt changes hands only by a claim, and only within one delivery of the provider. */
function claimsWrongly(
  was: JobIn<'running'>['owner'],
  is: NonNullable<JobIn<'running'>['owner']>,
  attempt: number,
  cause: Cause | null,
): string | false {
  if (cause?.kind !== 'call' || cause.call.name !== 'claim') return 'an owner without a claim';
  if (cause.from?.attempt !== attempt) return 'the claim is for another attempt';
  if (!was) return is.epoch !== 1 && 'the first epoch is not 1';
  if (was.remoteId !== is.remoteId) return 'a second owner';
  return is.epoch !== was.epoch + 1 && 'the epoch does not grow';
}

/** The provider said no, which only an effect can have heard. */
function isRefusedByProvider({ before, after, cause }: Change): boolean {
  if (before?.state !== 'dispatching' || cause !== null) return false;
  const code = after.state === 'failed' ? after.failure.code : after.lastFailure?.code;
  return code === 'dispatch_failed';
}

/** The provider says that nobody works for the attempt any more, which only an effect can have heard. */
function isOverAtProvider({ before, cause, now }: Change, { provider, policy }: Evidence): boolean {
  if (before?.state !== 'dispatched' && before?.state !== 'running') return false;
  const isHeard = before.state === 'running' && now < before.heartbeatAt + policy.lease_ms / 2;
  if (isHeard) return false;
  return cause === null && before.remoteId !== null && provider.isOver(before.remoteId);
}

/** The owner of the attempt said that it has failed. */
function isGivenUp({ before, cause }: Change): boolean {
  const was = running(before);
  if (!was || cause?.kind !== 'call' || cause.call.name !== 'error') return false;
  return speaksFor(was, cause);
}

function speaksFor({ attempt, owner }: JobIn<'running'>, cause: Cause | null): boolean {
  if (cause?.kind !== 'call' || !cause.from || !('epoch' in cause.call.body)) return false;
  return cause.from.attempt === attempt && cause.call.body.epoch === owner?.epoch;
}
