import { nextSeq, overallOf } from './attempt.ts';
import { isEnded } from './job.ts';
import type { Job } from './job.ts';
import type { Policy } from './policy.ts';
import { nextWakeAt } from './schedule.ts';

/**
 * Which invariants of SPEC.md a change would break; none, if the machine is right. Asked before every
 * commit, in production too: a change that breaks one is refused, and somebody is told.
 */
export function brokenInvariants(before: Job | null, after: Job, policy: Policy): string[] {
  const broken: string[] = [];
  const hold = (id: string, holds: boolean) => holds || broken.push(id);
  if (before) {
    hold('I1', !isEnded(before));
    hold('I2', goesOn(before, after));
    hold('I4', after.seq === nextSeq(before.seq));
    hold('I10', after.attempt === before.attempt || after.attempt === before.attempt + 1);
    hold('I13', after.id === before.id && after.requestHash === before.requestHash);
  }
  hold('I10', isWithinBudgets(before, after, policy));
  const owned = after.state !== 'running' || after.request === null || after.owner !== null;
  hold('I3b', owned);
  const unverified = after.state === 'complete' && after.request !== null && !after.verified;
  hold('I12', !unverified);
  hold('I6b', nextWakeAt(after, null, policy) !== null);
  return broken;
}

/** The same of a note: it may add to what is known of a job that can still change, and no more. */
export function brokenByNote(before: Job | null, after: Job): string[] {
  const isSame =
    before?.state === after.state && before.attempt === after.attempt && !isEnded(before);
  if (!isSame) return ['I1'];
  const broken = after.progress < before.progress ? ['I2'] : [];
  const isNumbered = before.seq <= after.seq && after.seq < nextSeq(before.seq);
  return isNumbered ? broken : [...broken, 'I4'];
}

/** What comes after an end is for I1 to say. */
function goesOn(before: Job, after: Job): boolean {
  if (isEnded(before)) return true;
  const isMore = after.attempt > before.attempt || after.progress >= before.progress;
  return isMore && overallOf(after) >= overallOf(before);
}

function spentBy(job: Job | null): number {
  return job === null ? 0 : job.failures + job.losses + job.outages;
}

/** Only a job that goes on needs something left; and the limits may have been lowered meanwhile. */
function isWithinBudgets(before: Job | null, after: Job, policy: Policy): boolean {
  const counted = spentBy(after) - spentBy(before);
  if (counted === 0) return true;
  return (
    counted === 1 && (isEnded(after) || after.state === 'adopting' || isAnyLeft(after, policy))
  );
}

function isAnyLeft({ failures, losses, outages }: Job, policy: Policy): boolean {
  const { max_attempts, max_losses, max_outages } = policy;
  return failures < max_attempts && losses <= max_losses && outages <= max_outages;
}
