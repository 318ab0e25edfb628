import * as v from 'valibot';
import { JobRequest } from './job/job.ts';
import { quietJobs } from './lib/d1.ts';
import type { QuietRow } from './lib/d1.ts';
import type { Env } from './lib/env.ts';
import { logError } from './lib/log.ts';
import { objectOf } from './lib/object.ts';

/**
 * Wakes every job of which nothing was heard for a while, and makes the object of every intent whose
 * creation was cut off. Alarms do this by themselves; the sweep is for those that the platform lost.
 */
export async function sweep(env: Env, now: number): Promise<void> {
  const rows = await quietJobs(env.DB, now);
  await Promise.all(
    rows.map(async (row) => {
      try {
        await revive(env, row);
      } catch (error) {
        logError('sweep', { job: row.id, error: String(error) });
      }
    }),
  );
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
