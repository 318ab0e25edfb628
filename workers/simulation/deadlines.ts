import { isEnded } from '../src/job/job.ts';
import type { Job } from '../src/job/job.ts';
import type { Policy } from '../src/job/policy.ts';
import type { Purse } from './purse.ts';
import type { Witness } from './witness.ts';

// When time must have its way with a job, told by what its renderer really said. The rules are said a
// second time here: the machine is not asked.

/** What the deadlines of a job depend on besides the job. */
export interface Truth {
  readonly policy: Policy;
  readonly witness: Witness;
  readonly purse: Purse;
}

/** The moment by which time must have ended the attempt or the job. */
export function deadlineOf(job: Job, { witness, purse }: Truth): number {
  if (isEnded(job)) return Number.POSITIVE_INFINITY;
  if (job.state === 'adopting') return job.lookUntil;
  const limits = [job.deadlineAt];
  if (job.state === 'dispatched') limits.push(job.startBy);
  if (job.state === 'running') {
    limits.push(witness.patienceEndsAt(job), witness.movementEndsAt(job));
    limits.push(job.attemptBy, purse.emptyAt(job));
  }
  return Math.min(...limits);
}

/** When time makes something happen that ends nothing: a retry, or a question to the provider. */
export function choreAtOf(job: Job): number {
  if (job.state === 'retry_wait') return job.retryAt;
  if (job.state === 'dispatched' && job.remoteId !== null) return job.askAt;
  return (job.state === 'running' && job.askAt) || Number.POSITIVE_INFINITY;
}

/** Until when the alarm must be set: the earliest of the deadlines and of what the outbox waits for. */
export function alarmBy(
  job: Job,
  { dueAt, believedDueAt }: { dueAt: number | null; believedDueAt: number | null },
  truth: Truth,
): number {
  if (isEnded(job)) {
    return dueAt ?? Math.max(job.completedAt + truth.policy.retention_ms, believedDueAt ?? 0);
  }
  return Math.min(deadlineOf(job, truth), choreAtOf(job), dueAt ?? Number.POSITIVE_INFINITY);
}
