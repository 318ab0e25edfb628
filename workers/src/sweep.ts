import { overdueJobs } from './lib/d1.ts';
import type { OverdueRow } from './lib/d1.ts';
import type { Env } from './lib/env.ts';
import { objectOf } from './lib/object.ts';

/**
 * Wakes every job that should have ended by now, and makes the object of every intent whose creation
 * was cut off. Alarms do this by themselves; the sweep is for those that the platform lost.
 */
export async function sweep(env: Env, now: number): Promise<void> {
  const rows = await overdueJobs(env.DB, now);
  const outcomes = await Promise.allSettled(rows.map((row) => revive(env, row)));
  for (const outcome of outcomes) {
    if (outcome.status === 'fulfilled') continue;
    console.error(JSON.stringify({ level: 'error', msg: 'sweep', error: String(outcome.reason) }));
  }
}

async function revive(env: Env, row: OverdueRow): Promise<void> {
  const object = objectOf(env, row.id);
  if (row.request) await object.create(row.tenant, row.request, row.request_hash);
  await object.wake();
}
