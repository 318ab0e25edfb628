import { describe, expect, it } from 'vitest';
import { exactRate, parseRate, rate, steadyRate } from './rate.ts';

const every = (step: number | undefined) => ({ medianStep: () => step });

describe('the rate of an export', () => {
  it('reads what ffprobe writes', () => {
    expect(parseRate('24000/1001')?.value).toBeCloseTo(23.976, 3);
    expect(parseRate('0/0')).toBeUndefined();
    expect(parseRate(undefined)).toBeUndefined();
  });

  it('takes a decimal for the exact fraction that it means', () => {
    expect(exactRate(29.97)).toMatchObject({ num: 30_000, den: 1001 });
    expect(exactRate(23.976)).toMatchObject({ num: 24_000, den: 1001 });
    expect(exactRate(17.5).value).toBe(17.5);
  });

  it('keeps the rate of a steady source, however unusual', () => {
    expect(steadyRate(rate(18), rate(18), every(1 / 18)).value).toBe(18);
    expect(steadyRate(rate(2), rate(2), every(0.5)).value).toBe(2);
  });

  it('gives a source with changing steps the standard rate nearest to its usual step', () => {
    expect(steadyRate(rate(57_600), rate(20), every(0.0333)).value).toBe(30);
    expect(steadyRate(rate(90_000), rate(3), every(0.04)).value).toBe(25);
  });

  it('stays within 1 and 60', () => {
    expect(steadyRate(rate(1000), rate(1000), every(0.001)).value).toBe(60);
    expect(steadyRate(rate(1, 10), rate(1, 10), every(10)).value).toBe(1);
    expect(steadyRate(undefined, undefined, every(undefined)).value).toBe(25);
  });
});
