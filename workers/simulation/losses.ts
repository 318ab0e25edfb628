import type { FailureCode } from '@export-jobs/protocol';
import type { Job, JobIn } from '../src/job/job.ts';
import type { Change, Evidence } from './judge.ts';
import { ROUNDING_MS } from './purse.ts';
import type { Cause } from './stage.ts';

// Whether an attempt is lost, or a job fails, for the reason that is named: by the provider's word, or
// by what its renderer really said and when.

type Loss = Change & { readonly before: Job };

/** Says why the loss is wrong, or nothing. */
export function lostWrongly(change: Change, evidence: Evidence): string | false {
  const { before, after } = change;
  const isOver = after.state === 'failed' || after.state === 'adopting';
  if (!before || before.state === 'adopting') return false;
  if (after.attempt === before.attempt && !isOver) return false;
  const code = isOver ? after.failure.code : after.lastFailure?.code;
  if (code === undefined) return 'an attempt is lost without a word';
  const isTimely = TIMELY[code]?.({ ...change, before }, evidence) === true;
  if (isTimely || isGivenUp(code, change)) return false;
  return `an attempt is lost as ${code} for no reason`;
}

/** When each may be named; whatever is not here only the owner can say. */
const TIMELY: Partial<Record<FailureCode, (change: Loss, evidence: Evidence) => boolean>> = {
  job_timeout: ({ before, now }) => now >= before.deadlineAt,
  start_timeout: ({ before, now }) => before.state === 'dispatched' && now >= before.startBy,
  // Only an effect can have heard it.
  dispatch_failed: ({ before, cause }) => before.state === 'dispatching' && cause === null,
  renderer_lost: (loss, evidence) =>
    isOverAtProvider(loss, evidence) || isSilent(loss, evidence.policy.lease_ms, evidence),
  attempt_timeout: ({ before, now }, { witness, policy }) =>
    before.state === 'running' &&
    (now >= before.attemptBy || witness.stuckFor(before, now) >= policy.stage_ms),
  encoder_stalled: ({ before, now }, { witness, policy }) =>
    before.state === 'running' && witness.stillFor(before, now) >= policy.stall_ms,
  spend_cap_reached: ({ before, now }, { purse }) => purse.left(before, now) <= ROUNDING_MS,
};

/** Nothing that the owner said was taken for that long. */
function isSilent({ before, now }: Loss, ms: number, { witness }: Evidence): boolean {
  return before.state === 'running' && witness.silentFor(before, now) >= ms;
}

/** The provider says that nobody works for the attempt any more, which only an effect can have heard. */
function isOverAtProvider(loss: Loss, evidence: Evidence): boolean {
  const { before, cause } = loss;
  if (before.state !== 'dispatched' && before.state !== 'running') return false;
  const { remoteId } = before;
  if (cause !== null || remoteId === null || !evidence.provider.isOver(remoteId)) return false;
  return before.state === 'dispatched' || isSilent(loss, evidence.policy.lease_ms / 2, evidence);
}

/** The owner of the attempt said that it has failed, and why; or nothing more may be spent on it. */
function isGivenUp(code: FailureCode, { before, cause }: Change): boolean {
  const was = before?.state === 'running' ? before : null;
  if (!was || cause?.kind !== 'call' || cause.call.name !== 'error') return false;
  return speaksFor(was, cause) && cause.call.body.code === code;
}

/** Whether the call comes from the owner of the running attempt. */
export function speaksFor({ attempt, owner }: JobIn<'running'>, cause: Cause | null): boolean {
  if (cause?.kind !== 'call' || !cause.from || !('epoch' in cause.call.body)) return false;
  return cause.from.attempt === attempt && cause.call.body.epoch === owner?.epoch;
}

/** The running job, or null. */
export function running(job: Job | null): JobIn<'running'> | null {
  return job?.state === 'running' ? job : null;
}

/** An object that forgot gives the owner one more lease, and the next one only after a report. */
export function doubtedWrongly({ before, after, now }: Change, evidence: Evidence): string | false {
  const [was, is] = [running(before), running(after)];
  if (!was?.owner || was.owner.nonce !== is?.owner?.nonce) return false;
  if (is.quietSince === null || is.quietSince === was.quietSince) return false;
  const isNew = is.quietSince === now && is.heartbeatAt !== now;
  if (isNew && !evidence.mayDoubt) return 'a socket that remembers is not asked';
  return isSecondDoubt(was, is) && 'a second doubt without a report';
}

function isSecondDoubt(was: JobIn<'running'>, is: JobIn<'running'>): boolean {
  if (was.quietSince === null || is.quietSince === null) return false;
  return is.quietSince > was.quietSince && is.heartbeatAt < was.quietSince;
}
