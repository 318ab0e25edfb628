import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { MIN_SAMPLES, forecastOf, kindsOf, speedsOf } from './forecast.ts';
import type { Attempt, Sample, Speed } from './forecast.ts';

const MINUTE = 60_000;
/** Exports of a hundred megapixels took a minute, two in three of them between 48 and 73 seconds. */
const speed: Speed = {
  hardware: 'gpu',
  unit: 'megapixel',
  samples: 100,
  mean: Math.log(MINUTE / 100),
  deviation: 0.2,
};
const byte: Speed = { ...speed, unit: 'megabyte', mean: Math.log(MINUTE / 10), deviation: 0.5 };

/** An attempt that has come so far, in so much time, with a history of such exports. */
function attempt(part: Partial<Attempt> & { passed?: number; speeds?: Speed[] } = {}): Attempt {
  const { passed = 0, speeds = [], ...rest } = part;
  return {
    request: { input: { size: 10e6 }, speeds },
    hardware: 'gpu',
    claimedAt: 1_000_000,
    updatedAt: 1_000_000 + passed,
    ownPercent: 0,
    etaMs: null,
    megapixels: 100,
    ...rest,
  };
}

/** The attempt at a share of a way that it makes at one speed, in `total` ms. */
function steady(share: number, total: number, speeds: Speed[] = []): Attempt {
  const passed = share * total;
  const ownPercent = share * 99.9;
  return attempt({ passed, speeds, ownPercent, etaMs: passed < 3000 ? null : total - passed });
}

describe('the time that is left', () => {
  it('is not known of an attempt that has not moved, without a history', () => {
    expect(forecastOf(attempt())).toBeNull();
    expect(forecastOf(attempt({ passed: 900, ownPercent: 50 }))).toBeNull();
    expect(forecastOf(attempt({ speeds: [{ ...speed, hardware: 'another' }] }))).toBeNull();
  });

  it('is at first what such exports took, from the bytes until the pixels are planned', () => {
    const speeds = [speed, byte];
    const planned = forecastOf(attempt({ speeds }));
    expect(planned?.p50Ms).toBeCloseTo(MINUTE, -2);
    expect(planned?.p90Ms).toBeGreaterThan(1.2 * MINUTE);
    expect(planned?.p90Ms).toBeLessThan(1.5 * MINUTE);
    const unplanned = forecastOf(attempt({ speeds, megapixels: null }));
    expect(unplanned?.p50Ms).toBeCloseTo(MINUTE, -2);
    expect(unplanned?.p90Ms).toBeGreaterThan(1.6 * MINUTE);
  });

  it('is measured by what such exports differed least in', () => {
    const odd = { ...byte, mean: Math.log(3000), deviation: 0.1 };
    expect(forecastOf(attempt({ speeds: [speed, odd] }))?.p50Ms).toBeCloseTo(30_000, -2);
  });

  it('follows from how far it came when its renderer does not say it, and a report says only that', () => {
    const known = forecastOf(attempt({ passed: 30_000, ownPercent: 50 }));
    expect(known?.p50Ms).toBe(30_000);
  });

  it('is ever more what its own speed says', () => {
    const slow = [0.05, 0.3, 0.9].map((share) => {
      const told = forecastOf(steady(share, 2 * MINUTE, [speed]))?.p50Ms ?? Number.NaN;
      return told / ((1 - share) * 2 * MINUTE);
    });
    expect(slow).toEqual(slow.toSorted((a, b) => a - b));
    expect(slow[0]).toBeLessThan(0.7);
    expect(slow[2]).toBeGreaterThan(0.85);
  });

  it('is surer with a history than without', () => {
    const width = (speeds: Speed[]) => {
      const told = forecastOf(steady(0.2, MINUTE, speeds));
      return told ? told.p90Ms / told.p50Ms : Number.NaN;
    };
    expect(width([speed])).toBeLessThan(width([]));
  });

  it('is less sure when the two contradict each other', () => {
    const width = (etaMs: number) => {
      const told = forecastOf(attempt({ passed: 10_000, ownPercent: 20, etaMs, speeds: [speed] }));
      return told ? told.p90Ms / told.p50Ms : Number.NaN;
    };
    expect(width(300_000)).toBeGreaterThan(1.5 * width(45_000));
  });

  it('does not hold on to a history that the job has outlasted', () => {
    const told = forecastOf({ ...steady(0.5, 10 * MINUTE, [speed]), etaMs: null });
    expect(told).toEqual(forecastOf({ ...steady(0.5, 10 * MINUTE), etaMs: null }));
  });
});

describe('whatever is reported, the time that is left', () => {
  const anyByte = { ...byte, samples: 1, deviation: 0 };
  const numbers = {
    passed: fc.integer({ min: 0, max: 1e9 }),
    ownPercent: fc.double({ min: 0, max: 100, noNaN: true }),
    etaMs: fc.option(fc.double({ min: 0, max: 1e12, noNaN: true })),
    megapixels: fc.option(fc.double({ min: 0, max: 1e9, noNaN: true })),
    speeds: fc.array(
      fc.record({
        hardware: fc.constantFrom<string>('gpu', 'cpu'),
        unit: fc.constantFrom('megapixel' as const, 'megabyte' as const),
        samples: fc.integer({ min: 1, max: 1e4 }),
        mean: fc.double({ min: -20, max: 20, noNaN: true }),
        deviation: fc.double({ min: 0, max: 10, noNaN: true }),
      }),
      { maxLength: 3 },
    ),
  };

  it('is finite, not negative, and no shorter nine times in ten than half of the time', () => {
    fc.assert(
      fc.property(fc.record(numbers), (given) => {
        const told = forecastOf(attempt(given));
        if (told === null) return;
        expect(Number.isFinite(told.p90Ms)).toBe(true);
        expect(told.p50Ms).toBeGreaterThanOrEqual(0);
        expect(told.p90Ms).toBeGreaterThanOrEqual(told.p50Ms);
      }),
      {
        numRuns: 2000,
        examples: [
          [{ passed: 0, ownPercent: 100, etaMs: null, megapixels: null, speeds: [anyByte] }],
          [{ passed: 5000, ownPercent: 100, etaMs: 0, megapixels: 100, speeds: [speed] }],
        ],
      },
    );
  });

  it('falls as a steady job gets on, at both ends, with or without a history that fits', () => {
    const total = fc.integer({ min: 10_000, max: 3_600_000 });
    const share = fc.double({ min: 0, max: 0.98, noNaN: true });
    fc.assert(
      fc.property(total, share, fc.boolean(), (ms, at, isKnown) => {
        const fitting = { ...speed, mean: Math.log(ms / 100) };
        const [before, after] = [at, at + 0.02].map((one) =>
          forecastOf(steady(one, ms, isKnown ? [fitting] : [])),
        );
        if (!before || !after) return;
        expect(after.p50Ms).toBeLessThanOrEqual(before.p50Ms + 1);
        expect(after.p90Ms).toBeLessThanOrEqual(before.p90Ms + 1);
      }),
      { numRuns: 1000 },
    );
  });
});

/** Numbers in [0, 1) from a seed, the same on every machine. */
function dice(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

describe('of exports whose speeds are log-normal', () => {
  const random = dice(7);
  const normal = () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
  const options = { container: 'mp4', codec: 'h264' } as const;
  const drawn = (): Sample => {
    const megapixel = 100 * Math.exp(normal());
    const ms = 600 * megapixel * Math.exp(0.3 * normal());
    return { hardware: 'gpu', ms, options, work: { megapixel, megabyte: megapixel / 10 } };
  };
  const speeds = speedsOf(Array.from({ length: 200 }, drawn)).get('h264') ?? [];
  const later = Array.from({ length: 1000 }, drawn);
  /** The share of them that ended within what was told, of those that were still there. */
  const within = (share: number, end: 'p50Ms' | 'p90Ms') => {
    const hits = later.flatMap(({ ms, work }) => {
      const passed = share * 600 * work.megapixel;
      if (passed >= ms) return [];
      const told = forecastOf(attempt({ passed, speeds, megapixels: work.megapixel }));
      return told ? [ms - passed <= told[end]] : [];
    });
    return hits.filter(Boolean).length / hits.length;
  };

  it.each([0, 0.3, 0.6])(
    'half end within the one and nine of ten within the other, at %d of the usual time',
    (share) => {
      expect(Math.abs(within(share, 'p50Ms') - 0.5)).toBeLessThan(0.06);
      expect(Math.abs(within(share, 'p90Ms') - 0.9)).toBeLessThan(0.04);
    },
  );
});

describe('the history of a kind of export', () => {
  const sample: Sample = {
    hardware: 'gpu',
    ms: 60_000,
    options: { container: 'webm', height: 700 },
    work: { megapixel: 100, megabyte: 10 },
  };
  const some = (n: number, part: Partial<Sample> = {}) =>
    Array.from({ length: n }, () => ({ ...sample, ...part }));

  it('is kept by codec and by size, and by hardware', () => {
    const speeds = speedsOf([...some(MIN_SAMPLES), ...some(MIN_SAMPLES, { hardware: 'cpu' })]);
    expect([...speeds.keys()].toSorted()).toEqual(['vp9', 'vp9 720']);
    const found = speeds.get('vp9')?.map(({ hardware, unit }) => `${hardware} ${unit}`);
    expect(found?.toSorted()).toEqual([
      'cpu megabyte',
      'cpu megapixel',
      'gpu megabyte',
      'gpu megapixel',
    ]);
    expect(speeds.get('vp9')?.[0]).toMatchObject({ samples: MIN_SAMPLES, mean: Math.log(600) });
  });

  it('says nothing before there are enough, and counts no export without work', () => {
    expect(speedsOf(some(MIN_SAMPLES - 1)).size).toBe(0);
    const empty = speedsOf(some(MIN_SAMPLES, { work: { megapixel: 0, megabyte: 0 } }));
    expect(empty.size).toBe(0);
  });

  it.each([
    [{ container: 'mp4' }, 'h264 source'],
    [{ container: 'mp4', codec: 'av1', height: 1080 }, 'av1 1080'],
    [{ container: 'mp4', width: 1920, height: 1080 }, 'h264 1080'],
    [{ container: 'mov', height: 8192 }, 'h264 large'],
    [{ container: 'gif', width: 320 }, 'gif 480'],
  ] as const)('of %o is "%s"', (options, kind) => {
    expect(kindsOf(options)[0]).toBe(kind);
  });
});
