import { expect, it } from 'vitest';
import { planOf } from './plan.ts';
import { Random } from './random.ts';

it('draws the same run from the same seed, and another from another', () => {
  expect(planOf(7, 50)).toEqual(planOf(7, 50));
  expect(planOf(7, 50)).not.toEqual(planOf(8, 50));
});

it('breaks everything in some run of ten, and nothing after the faults end', () => {
  const plans = Array.from({ length: 10 }, (_, seed) => planOf(seed, 50));
  const kinds = new Set(plans.flatMap(({ blows }) => blows.map(({ kind }) => kind)));
  expect(kinds.size).toBe(10);
  for (const { blows, faultMs } of plans) {
    for (const { at } of blows) expect(at).toBeLessThan(faultMs);
  }
});

it('draws evenly', () => {
  const random = new Random('even');
  const counts = [0, 0, 0, 0];
  for (let n = 0; n < 40_000; n += 1) {
    const drawn = random.integer(0, 3);
    counts[drawn] = (counts[drawn] ?? 0) + 1;
  }
  for (const count of counts) expect(Math.abs(count - 10_000)).toBeLessThan(400);
});
