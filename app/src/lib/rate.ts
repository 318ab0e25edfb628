/** How many bytes had been sent at a time, ms. */
export interface Sample {
  readonly time: number;
  readonly sent: number;
}

/** A speed is that of the last so many ms. */
const SPAN_MS = 4000;
/** Over a shorter time it is not worth telling, ms. */
const LEAST_MS = 700;

/**
 * Those that still count, and a new one.
 * @param resumed bytes that were there before anything was sent: that they are, is no speed.
 */
export function withSample(samples: readonly Sample[], latest: Sample, resumed: number): Sample[] {
  const counts = ({ time, sent }: Sample) => latest.time - time < SPAN_MS && sent >= resumed;
  return [...samples.filter(counts), latest];
}

/** Bytes a second; null while they are not worth telling. */
export function rateOf(samples: readonly Sample[]): number | null {
  const [first, last] = [samples[0], samples.at(-1)];
  if (!first || !last || last.time - first.time <= LEAST_MS) return null;
  return ((last.sent - first.sent) / (last.time - first.time)) * 1000;
}
