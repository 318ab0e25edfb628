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
    hold('I2', after.attempt > before.attempt || after.progress >= before.progress);
    hold('I4', after.seq === before.seq + 1);
    hold('I10', after.attempt === before.attempt || after.attempt === before.attempt + 1);
    hold('I13', after.id === before.id && after.requestHash === before.requestHash);
  }
  hold('I10', after.failures <= policy.max_attempts && after.attempt <= attemptsOf(policy));
  const owned = after.state !== 'running' || after.request === null || after.owner !== null;
  hold('I3b', owned);
  const unverified = after.state === 'complete' && after.request !== null && !after.verified;
  hold('I12', !unverified);
  hold('I6b', nextWakeAt(after, null, policy) !== null);
  return broken;
}

function attemptsOf({ max_attempts, max_losses, max_outages }: Policy): number {
  return max_attempts + max_losses + max_outages;
}
