import { codecOf } from '@export-jobs/protocol';
import type { ExportJob, ExportOptions } from '@export-jobs/protocol';
import * as v from 'valibot';

// How long the running attempt will still take: from what exports like it took before, and from how fast
// this one gets on. Both are taken for log-logistic, which is the log-normal with quantiles that are formulas.

/** What the length of an export is measured by: what is made, once that is planned, or else what is read. */
export const WORK_UNITS = ['megapixel', 'megabyte'] as const;
export type WorkUnit = (typeof WORK_UNITS)[number];

/** How fast exports of one kind were on some hardware: of the logarithms of ms per unit, mean and deviation. */
export const Speed = v.object({
  hardware: v.string(),
  unit: v.picklist(WORK_UNITS),
  samples: v.pipe(v.number(), v.integer(), v.minValue(1)),
  mean: v.pipe(v.number(), v.finite()),
  deviation: v.pipe(v.number(), v.finite(), v.minValue(0)),
});
export type Speed = v.InferOutput<typeof Speed>;

/** So many of them a job is given: of four kinds of hardware, by both units. */
export const MAX_SPEEDS = 8;

/** Time left, ms: half of such exports end within the one, nine of ten within the other. */
export interface Forecast {
  readonly p50Ms: number;
  readonly p90Ms: number;
}

/** An export that has ended: how long the renderer that made it had it, ms, and what there was to do. */
export interface Sample {
  readonly hardware: string;
  readonly ms: number;
  readonly options: Pick<ExportOptions, 'container' | 'codec' | 'width' | 'height'>;
  readonly work: Readonly<Record<WorkUnit, number>>;
}

/** What is known of a running attempt. Times are epoch ms, percents 0–100. */
export interface Attempt {
  readonly request: {
    /** `size` in bytes; of a file on another server it is not known. */
    readonly input: { readonly kind?: string; readonly size?: number };
    readonly speeds?: readonly Speed[] | undefined;
  } | null;
  readonly hardware: string;
  readonly claimedAt: number;
  readonly updatedAt: number;
  readonly ownPercent: number;
  /** What its renderer says of the time left and of the work, if it does. */
  readonly etaMs: number | null;
  readonly megapixels: number | null;
}

/** Fewer exports than this say nothing of others. */
export const MIN_SAMPLES = 5;
/** What a deviation is taken for before there are samples, and how many of those weigh as much. */
const USUAL_DEVIATION = 0.4;
const USUAL_SAMPLES = 3;
/** Bytes say less than pixels, and of a part of a film they say too much: they must have differed less by this. */
const HANDICAP: Readonly<Record<WorkUnit, number>> = { megapixel: 1, megabyte: 1.25 };
/** Once a job has outlasted all but this share of those before, it is of another kind. */
const OUTLASTED = 0.05;
/** How wrong an attempt's own speed is: the logarithm of its 90th percentile, as `bench/eta` found it. */
const SPEED_SPREAD = 0.6;
/** Before this much is done and for this long a speed would only be noise: percent, ms. */
const NOISE = { percent: 5, ms: 1000 } as const;
/** Standard deviations from the median of a normal distribution to its 90th percentile. */
const Z90 = 1.2816;
/** Nothing is told finer than this, ms; it keeps logarithms finite. */
const LEAST_MS = 1;
/** No estimate is surer than this, as a logarithm. */
const LEAST_SPREAD = 0.05;

/** Sizes of one class take about as long a pixel; by the shorter side that was asked for. */
const SIZE_CLASSES = [480, 720, 1080, 1440, 2160] as const;

/** What kinds of export one is, the narrow one first. */
export function kindsOf(options: Sample['options']): [narrow: string, wide: string] {
  const codec = codecOf(options) ?? options.container;
  const { width = Infinity, height = Infinity } = options;
  const side = Math.min(width, height);
  const size = side === Infinity ? 'source' : SIZE_CLASSES.find((least) => side <= least);
  return [`${codec} ${size ?? 'large'}`, codec];
}

/** What there is to learn from a job: from one whose renderer made it all, and said itself when it was done. */
export function sampleOf(job: ExportJob): Sample | null {
  if (job.status !== 'complete' || job.rendered === null || job.options === null) return null;
  const { width, height, frames } = job.output;
  const megapixel = ((width ?? 0) * (height ?? 0) * (frames ?? 0)) / 1e6;
  const megabyte = (job.input_size ?? 0) / 1e6;
  return { ...job.rendered, options: job.options, work: { megapixel, megabyte } };
}

/** How fast each kind was on each hardware, of kinds with enough samples. */
export function speedsOf(samples: readonly Sample[]): Map<string, Speed[]> {
  const logs = new Map<
    string,
    { kind: string; key: Pick<Speed, 'hardware' | 'unit'>; of: number[] }
  >();
  for (const { hardware, ms, options, work } of samples) {
    for (const unit of WORK_UNITS) {
      const log = Math.log(ms / work[unit]);
      if (!Number.isFinite(log)) continue;
      for (const kind of kindsOf(options)) {
        const id = JSON.stringify([kind, hardware, unit]);
        const known = logs.get(id) ?? { kind, key: { hardware, unit }, of: [] };
        known.of.push(log);
        logs.set(id, known);
      }
    }
  }
  const speeds = new Map<string, Speed[]>();
  for (const { kind, key, of } of logs.values()) {
    if (of.length < MIN_SAMPLES) continue;
    const mean = sum(of, (log) => log) / of.length;
    const square = sum(of, (log) => (log - mean) ** 2) / (of.length - 1);
    const speed = { ...key, samples: of.length, mean, deviation: Math.sqrt(square) };
    speeds.set(kind, [...(speeds.get(kind) ?? []), speed]);
  }
  return speeds;
}

/** A time left: its median, the logarithm of how much later the 90th percentile is, and what it counts for. */
interface Estimate {
  readonly ms: number;
  readonly spread: number;
  readonly weight: number;
}

/** How long the attempt will still take, as of its last report; null when nothing is known. */
export function forecastOf(attempt: Attempt): Forecast | null {
  const known = [byHistory(attempt), bySpeed(attempt)].filter((one) => one !== null);
  if (known.length === 0) return null;
  const { ms, spread } = combined(known);
  return { p50Ms: Math.round(ms), p90Ms: Math.round(ms * Math.exp(spread)) };
}

/** What such exports still took that had lasted as long. */
function byHistory(attempt: Attempt): Estimate | null {
  const { claimedAt, updatedAt, ownPercent } = attempt;
  const usual = usualOf(attempt);
  if (usual === null) return null;
  const { median, deviation } = usual;
  const slope = Math.log(9) / (Z90 * deviation);
  const passed = Math.max(0, updatedAt - claimedAt);
  const lasting = 1 / (1 + (passed / median) ** slope);
  if (lasting < OUTLASTED) return null;
  /** When this share of those that last until now is over, ms from now. */
  const over = (share: number) =>
    median * (1 / (lasting * (1 - share)) - 1) ** (1 / slope) - passed;
  const ms = Math.max(LEAST_MS, over(0.5));
  const spread = Math.max(LEAST_SPREAD, Math.log(over(0.9) / ms));
  // The less is left, the larger is the same error of the whole beside it.
  const left = Math.max(0.01, 1 - ownPercent / 100);
  return { ms, spread, weight: (left / spread) ** 2 };
}

/** What the whole attempt should take, by the measure in which exports like it differed least. */
function usualOf({ request, hardware, megapixels }: Attempt) {
  const work = { megapixel: megapixels ?? 0, megabyte: (request?.input.size ?? 0) / 1e6 };
  const fitting = (request?.speeds ?? [])
    .filter((speed) => speed.hardware === hardware && work[speed.unit] > 0)
    .map((speed) => ({ ...speed, expected: expectedDeviation(speed) }));
  const rank = (one: (typeof fitting)[number]) => one.expected * HANDICAP[one.unit];
  const [best] = fitting.toSorted((a, b) => rank(a) - rank(b));
  return best ? { median: Math.exp(best.mean) * work[best.unit], deviation: best.expected } : null;
}

/** The deviation of the next export from the mean of those before: with few of them it may be larger. */
function expectedDeviation({ samples, deviation }: Speed): number {
  const seen = (samples - 1) * deviation ** 2 + USUAL_SAMPLES * USUAL_DEVIATION ** 2;
  return Math.sqrt((seen / (samples - 1 + USUAL_SAMPLES)) * (1 + 1 / samples));
}

/** What its renderer says, or else what follows from how far it has come. */
function bySpeed({ etaMs, ownPercent, claimedAt, updatedAt }: Attempt): Estimate | null {
  const passed = updatedAt - claimedAt;
  const isNoise = ownPercent < NOISE.percent || passed < NOISE.ms;
  const ms = etaMs ?? (isNoise ? null : (passed * (100 - ownPercent)) / ownPercent);
  if (ms === null) return null;
  return { ms: Math.max(LEAST_MS, ms), spread: SPEED_SPREAD, weight: 1 / SPEED_SPREAD ** 2 };
}

/** The mean by weight; where two estimates contradict each other, it is less sure. */
function combined(estimates: readonly Estimate[]): Pick<Estimate, 'ms' | 'spread'> {
  const total = sum(estimates, ({ weight }) => weight);
  const mean = (of: (one: Estimate) => number) =>
    sum(estimates, (one) => (one.weight / total) * of(one));
  const middle = mean(({ ms }) => Math.log(ms));
  const each = sum(estimates, ({ spread, weight }) => ((weight / total) * spread) ** 2);
  const apart = mean(({ ms }) => (Math.log(ms) - middle) ** 2) * Z90 ** 2;
  return { ms: Math.exp(middle), spread: Math.sqrt(each + apart) };
}

function sum<T>(all: readonly T[], of: (one: T) => number): number {
  return all.reduce((so, one) => so + of(one), 0);
}
