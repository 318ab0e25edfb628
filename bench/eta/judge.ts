// Responsible for what the estimates were worth: each export is judged by what was known of the others. Pure.
import { forecastOf, kindsOf, speedsOf } from '../../workers/src/job/forecast.ts';
import type { Forecast, Sample, Speed } from '../../workers/src/job/forecast.ts';
import type { Trace } from './record.ts';

/** When an export is looked at, percent of its time from claim to end. */
export const MOMENTS = [0, 10, 25, 50, 75, 90] as const;
export type Moment = (typeof MOMENTS)[number];

/** An estimate of one export at one moment, beside what was left in truth, ms. */
export interface Judged {
  readonly left: number;
  readonly told: Forecast | null;
}

/**
 * Whose estimate: this project's; the same without a history; the renderer's own; and what follows from the
 * percent and the time since the claim, as everybody does it.
 */
export const ESTIMATORS = ['forecast', 'without history', 'renderer', 'elapsed'] as const;
export type Estimator = (typeof ESTIMATORS)[number];

type Told = Trace['told'][number];
type Known = { trace: Trace; last: Told; speeds: readonly Speed[] };

const ESTIMATES: Readonly<Record<Estimator, (known: Known) => Forecast | null>> = {
  forecast: ({ trace, last, speeds }) => forecastOf(attemptOf(trace, last, speeds)),
  'without history': ({ trace, last }) => forecastOf(attemptOf(trace, last, [])),
  renderer: ({ last }) => point(last.etaMs),
  elapsed({ trace, last: { progress, at } }) {
    const passed = at - trace.claimedAt;
    return point(progress > 0 ? (passed * (100 - progress)) / progress : null);
  },
};

/** Judges each export at a moment, with a history of all the others. */
export function judge(traces: readonly Trace[], moment: Moment, whose: Estimator): Judged[] {
  return traces.map((trace) => {
    const others = traces.filter((other) => other !== trace);
    const now = trace.claimedAt + ((trace.completedAt - trace.claimedAt) * moment) / 100;
    const last = trace.told.findLast(({ at }) => at <= now) ?? claimOf(trace);
    const told = ESTIMATES[whose]({ trace, last, speeds: speedsFor(trace, others) });
    return { left: trace.completedAt - now, told: told && countedDown(told, now - last.at) };
  });
}

const point = (ms: number | null): Forecast | null =>
  ms === null ? null : { p50Ms: ms, p90Ms: ms };

/** What a viewer shows some time after it was told. */
function countedDown({ p50Ms, p90Ms }: Forecast, passed: number): Forecast {
  return { p50Ms: Math.max(0, p50Ms - passed), p90Ms: Math.max(0, p90Ms - passed) };
}

function claimOf({ claimedAt: at }: Trace): Told {
  return { at, stage: 'starting', progress: 0, etaMs: null, megapixels: null };
}

/** What the server knows of an export that has just reported this. */
function attemptOf(trace: Trace, last: Told, speeds: readonly Speed[]) {
  return {
    request: { input: { size: trace.inputSize }, speeds },
    hardware: trace.hardware,
    claimedAt: trace.claimedAt,
    updatedAt: last.at,
    ownPercent: last.progress,
    etaMs: last.etaMs,
    megapixels: last.megapixels,
  };
}

/** As the server does: of the narrow kind where there are enough, else of the wide one. */
function speedsFor({ options, hardware }: Trace, others: readonly Trace[]): Speed[] {
  const speeds = speedsOf(others.map(sampleOf));
  const known = kindsOf(options).flatMap((kind) => speeds.get(kind) ?? []);
  const first = (unit: Speed['unit']) =>
    known.find((one) => one.unit === unit && one.hardware === hardware);
  return [first('megapixel'), first('megabyte')].filter((one) => one !== undefined);
}

function sampleOf({ claimedAt, completedAt, megapixels, inputSize, ...rest }: Trace): Sample {
  const work = { megapixel: megapixels, megabyte: inputSize / 1e6 };
  return { ms: completedAt - claimedAt, work, ...rest };
}
