// A short run of `npm run faults -- --viewers`: the real Worker in workerd, killed, deployed and deprived of
// its memory while viewers of all transports watch on bad wires.
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { TRANSPORTS, viewersPlanOf } from '../faults/viewers/plan.ts';
import { runViewers } from '../faults/viewers/run.ts';
import { temporaryFolder } from './support/stack.ts';

const folder = await temporaryFolder('viewers-run');

describe('viewers of all transports, while everything is broken', () => {
  it('see each change that they are promised, nothing fall, and the right end (I2, I4)', async () => {
    const size = { jobs: 9, viewers: 48, pages: 0, faultMs: 15_000 };
    const result = await runViewers({
      plan: viewersPlanOf(2, size),
      folder: path.join(folder, 'run'),
    });
    const wrong = result.outcomes.flatMap(({ spectator, violations }) =>
      violations.map(({ wrong, detail }) => `${spectator.name}: ${wrong}: ${detail}`),
    );
    expect([...result.broken, ...result.jobs, ...wrong]).toEqual([]);
    expect([...result.ends.keys()].toSorted()).toEqual(['cancelled', 'complete', 'error']);
    const present = new Set(result.outcomes.map(({ spectator }) => spectator.transport));
    expect(present).toEqual(new Set(TRANSPORTS));
    expect(result.outcomes.some(({ restarts }) => restarts > 1)).toBe(true);
    expect(result.outcomes.some(({ suffered }) => suffered.size > 1)).toBe(true);
  });
});
