import { applyD1Migrations } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { RunnerTestCase } from 'vitest';
import { playProvider } from '../../workers/test/harness.ts';
import { BUDGET } from './budget.ts';
import { play, playToTheEnd } from './play.ts';
import { playNaive } from './play-naive.ts';
import { UNITS, eachUnit } from './prices.ts';
import { PROFILES, PROFILE_NAMES } from './profiles.ts';
import type { ProfileName } from './profiles.ts';
import { tally } from './tally.ts';

// What Cloudflare would bill, counted in workerd while simulated time passes. `run.ts` prints it.

const MINUTE = 60_000;
playProvider();

beforeAll(async () => {
  await applyD1Migrations(env.DB, env.TEST_MIGRATIONS);
  await applyD1Migrations(env.NAIVE_DB, env.NAIVE_MIGRATIONS);
});

beforeEach(async () => {
  await env.DB.exec('DELETE FROM export_jobs');
  await env.DB.exec('DELETE FROM export_upload_bytes');
  await env.NAIVE_DB.exec('DELETE FROM export_jobs');
  await env.NAIVE_DB.exec('DROP INDEX IF EXISTS by_status');
});

/** Closes the bill of the played job, for `run.ts` to print. */
function close(task: RunnerTestCase, label: string): void {
  const causes = eachUnit((unit) => tally.causesOf(unit));
  task.meta.bill = { label, counts: tally.counts, causes };
}

/** What the played job used beyond its budget. */
function overdrawn(name: ProfileName): Record<string, string> {
  const over = UNITS.filter((unit) => tally.of(unit) > BUDGET[unit][name]);
  return Object.fromEntries(
    over.map((unit) => [unit, `${tally.of(unit)} of ${BUDGET[unit][name]}`]),
  );
}

describe('a job costs no more than its budget', () => {
  it.for(PROFILE_NAMES)('%s', async (name, { task }) => {
    await play(PROFILES[name]);
    close(task, name);
    expect(overdrawn(name)).toEqual({});
  });
});

describe('a job that has ended', () => {
  it('costs nothing while it is watched: its viewers stay, and the object sleeps', async () => {
    const { platform } = await playToTheEnd(PROFILES.standard);
    // An alarm of its last attempt may still come, and finds nothing to do.
    await platform.pass(3 * MINUTE);
    const before = eachUnit((unit) => tally.causesOf(unit));
    await platform.pass(60 * MINUTE);
    tally.settle(Date.now());
    // The sweep reads the same few rows of D1 whether there is this job or not.
    const after = eachUnit((unit) => tally.causesOf(unit));
    expect({ ...after, d1RowsRead: null }).toEqual({ ...before, d1RowsRead: null });
  });
});

describe('the naive sketch, for comparison', () => {
  it('writes two rows a report, as was counted elsewhere', async ({ task }) => {
    await playNaive(PROFILES.standard);
    close(task, 'standard, naive');
    expect(tally.counts).toMatchObject({ objectRowsWritten: 602, d1RowsWritten: 603 });
  });

  it('writes three with an index on what changes', async ({ task }) => {
    await env.NAIVE_DB.exec('CREATE INDEX by_status ON export_jobs (status)');
    await playNaive(PROFILES.standard);
    close(task, 'standard, naive, with an index on status');
    expect(tally.counts).toMatchObject({ objectRowsWritten: 602, d1RowsWritten: 1205 });
  });
});
