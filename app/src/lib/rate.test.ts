import { describe, expect, it } from 'vitest';
import { rateOf, withSample, type Sample } from './rate.ts';

/** What is told after each of these moments. */
function told(moments: readonly (readonly [time: number, sent: number])[], resumed = 0) {
  let samples: Sample[] = [];
  return moments.map(([time, sent]) => {
    samples = withSample(samples, { time, sent }, resumed);
    return rateOf(samples);
  });
}

describe('the speed of an upload', () => {
  it('is told once it has been seen for a while, and is that of the last seconds', () => {
    const moments = [
      [0, 0],
      [500, 500],
      [1000, 1000],
      [3000, 3000],
      [6000, 12_000],
    ] as const;
    expect(told(moments)).toEqual([null, null, 1000, 1000, 3000]);
  });

  it('does not count what an earlier page had sent', () => {
    const moments = [
      [0, 0],
      [900, 64_000_000],
      [1900, 65_000_000],
      [2900, 66_000_000],
    ] as const;
    expect(told(moments, 64_000_000)).toEqual([null, null, 1_000_000, 1_000_000]);
  });
});
