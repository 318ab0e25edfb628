import { isEnded } from '../job/job.ts';
import type { Policy } from '../job/policy.ts';
import { purgeAt } from '../job/schedule.ts';
import { lookAgainAt } from '../lib/d1.ts';
import type { Env } from '../lib/env.ts';
import { archiveKey } from '../lib/r2.ts';
import { discardLeftovers } from '../outbox/handlers/outputs.ts';
import type { JobStore } from './job-store.ts';

/**
 * Ends the life of an object after the retention time of its job: its log goes to R2, and all that it
 * kept is forgotten. D1 and R2 go on answering. Returns whether it came to that.
 * @throws when R2 cannot be reached; nothing is forgotten then.
 */
export async function purgeWhenDue(store: JobStore, env: Env, policy: Policy): Promise<boolean> {
  const { job } = store;
  const now = Date.now();
  if (!job || !isEnded(job) || now < purgeAt(job, policy) || !store.settle(now)) return false;
  await env.VIDEOS.put(archiveKey(job.tenant, job.id), store.logLines());
  // Once more, for a file that a fenced renderer had under way when the job ended.
  if (job.request) await discardLeftovers(env.VIDEOS, job);
  await store.purge();
  // Should this fail, the sweeper finds the object empty and does the same.
  await lookAgainAt(env.DB, job.id, null).catch(() => undefined);
  return true;
}
