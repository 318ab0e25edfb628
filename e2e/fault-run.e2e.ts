// A short run of `npm run faults`: the whole system with real processes, broken by a seed.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { planOf } from '../faults/plan.ts';
import { runFaults } from '../faults/run.ts';
import { makeSources } from '../faults/sources.ts';
import { OURS } from '../faults/systems.ts';

const JOBS = 6;
let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-fault-run-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

describe('the whole system, broken on purpose', () => {
  it('brings every job to one end that everybody saw (I1–I15)', async () => {
    const { violations, faults, ends } = await runFaults({
      system: OURS,
      plan: planOf(3, JOBS),
      sources: await makeSources(folder),
      folder: path.join(folder, 'run'),
    });
    expect(violations).toEqual([]);
    expect(faults.size).toBeGreaterThan(5);
    const ended = [...ends.values()].reduce((sum, count) => sum + count, 0);
    expect(ended).toBeGreaterThanOrEqual(JOBS);
  }, 800_000);
});
