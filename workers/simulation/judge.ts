import { FAILURES } from '@export-jobs/protocol';
import { isEnded } from '../src/job/job.ts';
import type { Job, JobIn } from '../src/job/job.ts';
import { alarmBy, choreAtOf } from './deadlines.ts';
import type { Truth } from './deadlines.ts';
import { HARDWARE, SKIPS, SWEEP_MS } from './environment.ts';
import { changeOf } from './kept.ts';
import type { Ledger } from './ledger.ts';
import { doubtedWrongly, lostWrongly, running } from './losses.ts';
import type { D1 } from './platform/d1.ts';
import type { Disk } from './platform/disk.ts';
import type { Provider } from './platform/provider.ts';
import type { R2 } from './platform/r2.ts';
import type { Cause, Stage } from './stage.ts';

// Responsible for the invariants of SPEC.md, checked after every commit by what is on the disk and by
// who caused it. Must not ask the machine what it thinks: the rules are said a second time here.

/** A job that has not ended is looked at this often at the least, ms. */
export const LOOK_MS = 15 * 60_000;
/** How long a sweep may wait for D1, twice, and its call to the object, ms. */
const SWEEPING_MS = 2 * 90_000 + 30_000;
/** How late time itself may be obeyed, ms: after a lost alarm, and as many lost sweeps as there are. */
const LATENESS_MS = LOOK_MS + (SKIPS + 1) * SWEEP_MS + SWEEPING_MS;

/** One commit of the job: a change of its own, or a note of what is known of it. */
export interface Change {
  readonly before: Job | null;
  readonly after: Job;
  readonly cause: Cause | null;
  readonly now: number;
  /** By when time was to change the job at the latest, epoch ms. */
  readonly deadline: number;
  /** The numbers of its log. */
  readonly logged: readonly number[];
}

/** Where the judge looks for itself. */
export interface Evidence extends Stage, Truth {
  readonly d1: D1;
  readonly r2: R2;
  readonly provider: Provider;
  readonly disk: Disk;
  readonly ledger: Ledger;
  /** Whether the object may have forgotten reports since its last commit. */
  readonly mayDoubt: boolean;
  /** When something last kept a sweep from its work, epoch ms. */
  readonly sweepFailedAt: number;
}

/** Says why a change breaks the rule, or nothing. */
type Rule = (change: Change, evidence: Evidence) => string | false;

const STATUS_OF = {
  dispatching: 'pending',
  dispatched: 'pending',
  retry_wait: 'pending',
  running: 'processing',
  adopting: 'processing',
  complete: 'complete',
  failed: 'error',
  cancelled: 'cancelled',
} as const satisfies Record<Job['state'], string>;

const RULES: Readonly<Record<string, Rule>> = {
  I1: ({ before }) => before !== null && isEnded(before) && 'an ended job changes',

  I2: ({ before, after }) =>
    before?.attempt === after.attempt &&
    after.progress < before.progress &&
    `progress falls from ${before.progress} to ${after.progress}`,

  // What is kept of an owner's reports is what it has said, and when.
  I3: ({ after }, { witness }) =>
    after.state === 'running' && !witness.confirms(after) && 'a report that nobody made is taken',

  I3b: ({ before, after, cause }) => {
    const [was, is] = [running(before), running(after)];
    if (!is?.owner || was?.owner?.nonce === is.owner.nonce) return false;
    return claimsWrongly(was?.owner ?? null, is.owner, after.attempt, cause);
  },

  // Every change has the next thousand, and its entry in the log; a note has neither.
  I4: ({ before, after, logged }) => {
    const [was, is] = [changeOf(before?.seq ?? 0), changeOf(after.seq)];
    if (logged.some((seq, i) => seq !== (i + 1) * 1000)) return `the log has ${logged.join(', ')}`;
    if (logged.length !== is) return `the log has ${logged.length} entries of ${is} changes`;
    if (is === was && before) return isNote(before, after) ? false : 'a note changes the job';
    const isNext = is === was + 1 && after.seq % 1000 === 0;
    return !isNext && `number ${after.seq} after ${before?.seq}`;
  },

  // D1 is told of whatever it shows.
  'I5 told': ({ before, after }, { ledger }) =>
    isOutdated(before, after) && !ledger.owes('mirror') && 'D1 is not told of a change',

  // Time is obeyed, hardly later than alarms are lost and sweeps skipped.
  'I6 lateness': ({ deadline, now }, { sweepFailedAt }) => {
    const late = now - Math.max(deadline, sweepFailedAt);
    return late > LATENESS_MS && `nothing hindered a sweep for ${late} ms after a deadline`;
  },

  // A lease runs from the last report that is kept; a longer one is for whoever has a socket.
  'I6 lease': ({ after }, { policy }) => {
    if (after.state !== 'running') return false;
    const lease = after.leaseUntil - after.heartbeatAt;
    const longest = Math.max(policy.lease_ms, policy.connected_ms);
    return (lease < policy.lease_ms || lease > longest) && `a lease of ${lease} ms`;
  },

  'I6 doubt': doubtedWrongly,

  I6: lostWrongly,

  // A job does not fail while the output of its last attempt, which nobody could report, is there.
  I7: ({ before, after, now }, { r2 }) => {
    if (after.state !== 'failed' || before?.state !== 'adopting') return false;
    if (now >= before.lookUntil) return false;
    const { attempt, epoch } = before.by;
    return r2.hasOutput(`/${attempt}/${epoch}/video`, before.updatedAt) && 'an output is given up';
  },

  'I7 look': ({ before, after }) => {
    if (before?.state !== 'running' || after.state !== 'failed') return false;
    const { retry } = FAILURES[after.failure.code];
    return retry !== 'never' && retry !== 'attempt' && 'an output is not looked for';
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

  I13: ({ before, after, cause, deadline, now }) =>
    before !== null &&
    cause?.kind === 'create' &&
    changeOf(before.seq) !== changeOf(after.seq) &&
    now < Math.min(earliestOf(before), deadline) &&
    `a repeated create changes the job to ${after.state}`,

  // What the job says that its renderers have cost is for how long they had it.
  'spend books': ({ after }, { purse }) => {
    const counted = after.gpu[HARDWARE] ?? 0;
    return counted !== purse.spentMs && `${counted} ms are counted of ${purse.spentMs}`;
  },
};

/** Checks one commit against every rule. */
export function judge(change: Change, evidence: Evidence): void {
  for (const [invariant, rule] of Object.entries(RULES)) {
    const broken = rule(change, evidence);
    if (broken !== false) evidence.violated(invariant, broken);
  }
}

/** Whether D1 shows something else than the change: its intent has shown the job that was made. */
export function isOutdated(before: Job | null, after: Job): boolean {
  if (before === null) return false;
  return STATUS_OF[before.state] !== STATUS_OF[after.state] || before.attempt !== after.attempt;
}

/** I6b: the alarm is set, and no later than anything that waits for it. */
export function judgeAlarm(job: Job, evidence: Evidence): void {
  const wanted = alarmBy(job, evidence.ledger, evidence);
  const { alarm } = evidence.disk;
  if (alarm === null) evidence.violated('I6b', 'no alarm is set');
  else if (alarm > wanted) evidence.violated('I6b', `the alarm is ${alarm - wanted} ms too late`);
}

/** When time may do something at the earliest, as far as the disk knows: reports put it off. */
function earliestOf(job: Job): number {
  return Math.min(job.state === 'running' ? job.leaseUntil : Infinity, choreAtOf(job));
}

/** Whether only what is known of the job is different. */
function isNote(before: Job, after: Job): boolean {
  const [was, is] = [running(before), running(after)];
  return (
    before.state === after.state &&
    before.attempt === after.attempt &&
    before.seq <= after.seq &&
    before.deadlineAt === after.deadlineAt &&
    was?.owner?.nonce === is?.owner?.nonce
  );
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
