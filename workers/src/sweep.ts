import * as v from 'valibot';
import { JobRequest } from './job/job.ts';
import { lookAgainAt, overdueJobs, quietJobs } from './lib/d1.ts';
import type { QuietRow } from './lib/d1.ts';
import type { Env } from './lib/env.ts';
import { logError } from './lib/log.ts';
import { objectOf } from './lib/object.ts';

/** An ended job that could not be looked at is left alone for this long, ms. */
const AGAIN_MS = 3 * 60_000;

/**
 * Wakes every job of which nothing was heard for a while, makes the object of every intent whose
 * creation was cut off, and looks after ended jobs that still owe something. Alarms do this by
 * themselves; the sweep is for those that the platform lost.
 */
export async function sweep(env: Env, now: number): Promise<void> {
  const [quiet, overdue] = await Promise.all([quietJobs(env.DB, now), overdueJobs(env.DB, now)]);
  await Promise.all([
    ...quiet.map((row) => reported(row.id, revive(env, row))),
    ...overdue.map((id) => reported(id, remind(env, id, now))),
  ]);
}

async function reported(job: string, work: Promise<void>): Promise<void> {
  try {
    await work;
  } catch (error) {
    logError('sweep', { job, error: String(error) });
  }
}

/** Reminds the object of an ended job; one that is gone is never looked at again. */
async function remind(env: Env, id: string, now: number): Promise<void> {
  // First of all, so that one that cannot be woken does not stand in the way of the others.
  await lookAgainAt(env.DB, id, now + AGAIN_MS);
  await lookAgainAt(env.DB, id, await objectOf(env, id).wake());
}

async function revive(env: Env, row: QuietRow): Promise<void> {
  const object = objectOf(env, row.id);
  if (row.request !== null) {
    const request = v.parse(v.pipe(v.string(), v.parseJson(), JobRequest), row.request);
    const answer = await object.create(row.tenant, request, row.request_hash);
    if (!answer.ok) throw new Error(answer.code);
  }
  await object.wake();
}
