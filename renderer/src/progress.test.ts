import { array, assert, constantFrom, double, integer, property, record } from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ProgressMeter, WORK_STAGES } from './progress.ts';

const expected = { downloading: 10, rendering: 80, uploading: 9, verifying: 1 };

describe('the progress meter', () => {
  it('weighs stages by the time they take', () => {
    const meter = new ProgressMeter(expected, 0);
    meter.advance('downloading', 1, 1000);
    expect(meter.percent).toBeCloseTo(10, 0);
    meter.advance('rendering', 0.5, 2000);
    expect(meter.percent).toBeCloseTo(50, 0);
    meter.advance('uploading', 0, 3000);
    expect(meter.percent).toBeCloseTo(90, 0);
  });

  it('never falls and never reaches 100, whatever it is told', () => {
    const step = record({
      stage: constantFrom(...WORK_STAGES),
      fraction: double({ min: -1, max: 2 }),
      seconds: double({ min: -1, max: 1e6 }),
      ms: integer({ min: 0, max: 5000 }),
    });
    assert(
      property(array(step), (steps) => {
        const meter = new ProgressMeter(expected, 0);
        let now = 0;
        for (const { stage, fraction, seconds, ms } of steps) {
          const before = meter.percent;
          meter.expect(stage, seconds);
          meter.advance(stage, fraction, (now += ms));
          const eta = meter.eta(now);
          expect(meter.percent).toBeGreaterThanOrEqual(before);
          expect(meter.percent).toBeLessThan(100);
          expect(eta === undefined || (Number.isFinite(eta) && eta >= 0)).toBe(true);
        }
      }),
      { examples: [[[{ stage: 'downloading', fraction: 7.66e-322, seconds: 0, ms: 3000 }]]] },
    );
  });

  it('comes to its top when all is done', () => {
    const meter = new ProgressMeter(expected, 0);
    meter.advance('verifying', 1, 1000);
    expect(meter.percent).toBeCloseTo(99.9, 5);
  });

  it('shares what is left anew when a stage turns out slower', () => {
    const meter = new ProgressMeter(expected, 0);
    meter.advance('rendering', 0.5, 1000);
    const before = meter.percent;
    meter.expect('rendering', 800);
    meter.advance('rendering', 0.75, 2000);
    expect(meter.percent).toBeGreaterThan(before);
    meter.advance('rendering', 1, 3000);
    expect(meter.percent).toBeGreaterThan(95);
  });

  it('estimates the time left after three seconds, from how fast it moved of late', () => {
    const meter = new ProgressMeter(expected, 0);
    for (let s = 1; s <= 30; s += 1) {
      meter.advance('downloading', Math.min(1, s / 10), s * 1000);
      if (s > 10) meter.advance('rendering', (s - 10) / 80, s * 1000);
      if (s < 3) expect(meter.eta(s * 1000)).toBeUndefined();
    }
    expect(meter.eta(30_000)).toBeGreaterThan(60_000);
    expect(meter.eta(30_000)).toBeLessThan(80_000);
  });
});
