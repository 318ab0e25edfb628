// A short run of `npm run fuzz`: everything that the Worker must refuse, in both of its modes.
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { runFuzz } from '../fuzz/run.ts';
import { MODES } from '../fuzz/system.ts';
import { temporaryFolder } from './support/stack.ts';

const INPUTS = 750;

describe('bad input over HTTP and WebSocket', () => {
  it.each(MODES)(
    'is refused, changes no job, and harms nobody, in %s',
    async (mode) => {
      const dataDir = path.join(await temporaryFolder('fuzz'), mode);
      const { faults, rows, rateLimited } = await runFuzz({
        mode,
        seed: 1,
        count: INPUTS,
        dataDir,
      });
      expect(faults).toEqual([]);
      expect(rateLimited).toBeLessThan(INPUTS / 20);
      expect(rows.size).toBeGreaterThan(15);
    },
    600_000,
  );
});
