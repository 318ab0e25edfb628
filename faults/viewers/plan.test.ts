import { describe, expect, it } from 'vitest';
import { TRANSPORTS, viewersPlanOf, WHOLE } from './plan.ts';

describe('the plan of a run with viewers', () => {
  it('is the same for the same seed, and another for another', () => {
    expect(viewersPlanOf(7, WHOLE)).toEqual(viewersPlanOf(7, WHOLE));
    expect(viewersPlanOf(7, WHOLE)).not.toEqual(viewersPlanOf(8, WHOLE));
  });

  it.each([1, 2, 3])('has every transport, end, wire fault and blow in it (seed %i)', (seed) => {
    const { jobs, viewers, blows } = viewersPlanOf(seed, WHOLE);
    expect(new Set(viewers.map(({ transport }) => transport))).toEqual(new Set(TRANSPORTS));
    expect(new Set(jobs.map(({ end }) => end))).toEqual(
      new Set(['complete', 'error', 'cancelled']),
    );
    const faults = new Set(viewers.flatMap(({ faults }) => faults.map(({ kind }) => kind)));
    expect(faults.size).toBe(7);
    expect(new Set(blows.map(({ kind }) => kind)).size).toBe(5);
  });
});
