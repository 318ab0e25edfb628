import * as v from 'valibot';
import { forgetUploads } from './access/upload-quota.ts';
import { JobRequest } from './job/job.ts';
import { deletedJobs, lookAgainAt, liveJobs, owingJobs } from './lib/overdue.ts';
import type { LiveRow } from './lib/overdue.ts';
import type { Env } from './lib/env.ts';
import { forgetDeleted, forgetLater } from './lib/erase.ts';
import { logError } from './lib/log.ts';
import { abortStale } from './lib/multipart.ts';
import { objectOf } from './lib/object.ts';

/** A job that could not be looked at is left alone for this long, ms. */
const AGAIN_MS = 3 * 60_000;

/**
 * Wakes every job that has been unfinished for long, makes the object of every intent whose creation was
 * cut off, reminds ended jobs of what they still owe, and forgets deleted ones and files that were never
 * finished. Alarms do most of this by themselves; the sweep is for those that the platform lost.
 */
export async function sweep(env: Env, now: number): Promise<void> {
  const [live, owing, deleted] = await Promise.all([
    liveJobs(env.DB, now),
    owingJobs(env.DB, now),
    deletedJobs(env.DB, now),
  ]);
  await Promise.all([
    ...live.map((row) => reported(row.id, revive(env, row))),
    ...owing.map((id) => reported(id, remind(env, id, now))),
    ...deleted.map((job) => reported(job.id, forget(env, job, now))),
    reported(null, abortStale(env, now)),
    reported(null, forgetUploads(env.DB, now)),
  ]);
}

async function reported(job: string | null, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    logError('sweep', { job, error: String(error) });
  }
}

/** Makes the object of a job whose creation may have been cut off; if it is there, nothing changes. */
export async function makeIntended(env: Env, row: LiveRow): Promise<void> {
  if (row.request === null) return;
  const request = v.parse(v.pipe(v.string(), v.parseJson(), JobRequest), row.request);
  const answer = await objectOf(env, row.id).create(row.tenant, request, row.request_hash);
  if (!answer.ok) throw new Error(answer.code);
}

/** Reminds the object of an ended job. */
async function remind(env: Env, id: string, now: number): Promise<void> {
  // First of all, so that one that cannot be woken does not stand in the way of the others.
  await lookAgainAt(env.DB, id, now + AGAIN_MS);
  await lookAgainAt(env.DB, id, await objectOf(env, id).wake());
}

/** Forgets a deleted job, unless its object still has something to do. */
async function forget(env: Env, job: { id: string; tenant: string }, now: number): Promise<void> {
  await forgetLater(env.DB, job, now + AGAIN_MS);
  const lookAt = await objectOf(env, job.id).wake();
  if (lookAt === null) await forgetDeleted(env, job);
  else await forgetLater(env.DB, job, lookAt);
}

async function revive(env: Env, row: LiveRow): Promise<void> {
  await makeIntended(env, row);
  const lookAt = await objectOf(env, row.id).wake();
  // One that has just ended says so itself.
  if (lookAt !== null) await lookAgainAt(env.DB, row.id, lookAt);
}
