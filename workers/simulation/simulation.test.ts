import { availableParallelism } from 'node:os';
import { describe, expect, it } from 'vitest';
import { FAULTS, OUTAGES } from './faults.ts';
import { REGRESSIONS } from './regressions.ts';
import { describeViolations, runWorlds, seedsFrom } from './run-worlds.ts';

const WORLDS = 2000;
const threads = Math.min(2, availableParallelism());

describe('the simulation', () => {
  it(`finds no violation in ${WORLDS} worlds, with every class of fault (I1–I15: also I7, I8, I11)`, async () => {
    const { summary } = await runWorlds(seedsFrom(0, WORLDS), { threads });
    expect(describeViolations(summary)).toBe('');
    expect(summary.worlds).toBe(WORLDS);
    expect(FAULTS.filter((fault) => !summary.faults[fault])).toEqual([]);
  }, 180_000);

  it.each(REGRESSIONS)('holds in the world of seed $seed: $was', async ({ seed }) => {
    const { summary } = await runWorlds([seed]);
    expect(describeViolations(summary)).toBe('');
  });

  it.each(OUTAGES)(
    '%s for an hour costs no accepted job (I5, I7, I8)',
    async (outage) => {
      const { summary } = await runWorlds(seedsFrom(0, 100), { threads, outage });
      expect(describeViolations(summary)).toBe('');
      expect(summary.faults[outage]).toBeGreaterThan(50);
      expect(summary.ends).toEqual({ complete: 100 });
    },
    60_000,
  );

  it('plays a seed the same way each time, whatever was played before', async () => {
    const seeds = [7, 42, 423];
    const first = await runWorlds(seeds, { trace: true });
    const again = await runWorlds([1, ...seeds], { trace: true });
    expect(first.trace.length).toBeGreaterThan(50);
    expect(again.trace.slice(-first.trace.length)).toEqual(first.trace);
  }, 30_000);
});
