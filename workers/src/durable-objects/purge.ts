import { isEnded } from '../job/job.ts';
import type { Policy } from '../job/policy.ts';
import { purgeAt } from '../job/schedule.ts';
import { discardLeftovers } from '../outbox/handlers/outputs.ts';
import type { JobStore } from './job-store.ts';

/**
 * Ends the life of an object after the retention time of its job: all that it kept is forgotten. D1, which
 * has its last view and its log since it ended, and R2 go on answering. Returns whether it came to that.
 * @throws when R2 cannot be reached; nothing is forgotten then.
 */
export async function purgeWhenDue(
  store: JobStore,
  bucket: R2Bucket,
  policy: Policy,
): Promise<boolean> {
  const { job, outbox } = store;
  const now = Date.now();
  if (!job || !isEnded(job) || now < purgeAt(job, policy)) return false;
  outbox.settle(now);
  if (!outbox.isEmpty) return false;
  // Once more, for a file that a fenced renderer had under way when the job ended.
  if (job.request) await discardLeftovers(bucket, job);
  await store.purge();
  return true;
}
