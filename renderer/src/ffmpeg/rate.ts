/** Frames a second as a fraction, so that 29.97 is exact. */
export interface Rate {
  readonly num: number;
  readonly den: number;
  readonly value: number;
}

export const MAX_RATE = 60;

/** Makes a rate from a fraction. */
export function rate(num: number, den = 1): Rate {
  return { num, den, value: num / den };
}

/** The rates that films and players use. */
export const STANDARD_RATES: readonly Rate[] = [
  ...[10, 12, 15, 20].map((n) => rate(n)),
  rate(24_000, 1001),
  ...[24, 25].map((n) => rate(n)),
  rate(30_000, 1001),
  ...[30, 48, 50].map((n) => rate(n)),
  rate(60_000, 1001),
  rate(60),
];

/** Reads ffprobe's `24000/1001`; undefined for `0/0` and the like. */
export function parseRate(text: string | undefined): Rate | undefined {
  const [num = 0, den = 1] = (text ?? '').split('/').map(Number);
  return num > 0 && den > 0 ? rate(num, den) : undefined;
}

/** The exact rate that a decimal such as 29.97 means. */
export function exactRate(fps: number): Rate {
  const standard = STANDARD_RATES.find((known) => Math.abs(known.value - fps) < 0.005);
  return standard ?? rate(Math.round(fps * 1000), 1000);
}

/**
 * The one rate that shows a source best: its own when it is steady, else the standard rate nearest
 * to the most usual step between its frames. Within 1–60.
 */
export function steadyRate(
  base: Rate | undefined,
  average: Rate | undefined,
  frames: { medianStep(): number | undefined },
): Rate {
  if (base && average && Math.abs(base.value / average.value - 1) < 0.01) {
    return clampRate(nearestStandard(base.value, 0.002) ?? base);
  }
  const step = frames.medianStep();
  const usual = step === undefined ? (average?.value ?? 25) : 1 / step;
  return clampRate(nearestStandard(usual, usual < 10 ? 0.05 : Infinity) ?? rate(Math.round(usual)));
}

function clampRate(wanted: Rate): Rate {
  if (wanted.value > MAX_RATE) return rate(MAX_RATE);
  return wanted.value < 1 ? rate(1) : wanted;
}

function nearestStandard(fps: number, tolerance: number): Rate | undefined {
  const distance = (known: Rate) => Math.abs(known.value / fps - 1);
  const nearest = STANDARD_RATES.toSorted((a, b) => distance(a) - distance(b))[0];
  return nearest && distance(nearest) <= tolerance ? nearest : undefined;
}
