import { isEnded } from '../job/job.ts';
import type { Policy } from '../job/policy.ts';
import { purgeAt } from '../job/schedule.ts';
import type { Env } from '../lib/env.ts';
import { eraseJob, forgetLater } from '../lib/erase.ts';
import { logError } from '../lib/log.ts';
import type { Answer } from '../lib/types.ts';
import { discardLeftovers } from '../outbox/handlers/outputs.ts';
import type { JobStore } from './job-store.ts';

/**
 * Ends the life of an object after the retention time of its job: all that it kept is forgotten. D1, which
 * has its last view and its log since it ended, and R2 go on answering, unless the job was deleted. Returns
 * whether it came to that.
 * @throws when R2 or D1 cannot be reached; nothing is forgotten then.
 */
export async function purgeWhenDue(store: JobStore, env: Env, policy: Policy): Promise<boolean> {
  const { job, outbox } = store;
  const now = Date.now();
  if (!job || !isEnded(job) || now < purgeAt(job, policy)) return false;
  // A renderer of one that was just deleted is still to be stopped.
  if (job.deletedAt !== undefined && outbox.dueAt !== null) return false;
  outbox.settle(now);
  if (!outbox.isEmpty) return false;
  if (job.deletedAt !== undefined) await eraseJob(env, job, { hasEnded: true });
  // Once more, for a file that a fenced renderer had under way when the job ended.
  else if (job.request) await discardLeftovers(env.VIDEOS, job);
  await store.purge();
  if (job.deletedAt !== undefined) await forgetLater(env.DB, job);
  return true;
}

/** Has an ended job forgotten as soon as it owes nothing more, and hides it until then. */
export function markDeleted(store: JobStore, policy: Policy): Answer<{ tags: string[] }> {
  const { job } = store;
  if (!job) return { ok: false, code: 'job_not_found' };
  if (!isEnded(job)) return { ok: false, code: 'delete_conflict' };
  const now = Date.now();
  if (job.deletedAt === undefined) store.keep({ ...job, deletedAt: now }, policy, now);
  return { ok: true, body: { tags: job.request?.tags ?? [] } };
}

/**
 * Forgets a deleted job at once, or hides it from D1 while it still owes something. What cannot be reached now the
 * alarm sees to, as often as it takes.
 */
export async function forgetSoon(store: JobStore, env: Env, policy: Policy): Promise<void> {
  const { job } = store;
  try {
    if (!job || (await purgeWhenDue(store, env, policy))) return;
    await eraseJob(env, job, { hasEnded: true });
  } catch (error) {
    logError('delete', { job: job?.id, error: String(error) });
  }
}
