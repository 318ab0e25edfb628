// Responsible for the one number that a viewer sees. Pure: time comes in as `now` (ms).
import type { Stage } from '@export-jobs/protocol';

/** The stages that take time, in order. */
export const WORK_STAGES = ['downloading', 'rendering', 'uploading', 'verifying'] as const;
export type WorkStage = (typeof WORK_STAGES)[number] & Stage;

/** 100 is said by the server alone, once the output is accepted. */
const TOP = 99.9;
/** How far back the estimate of the time left looks, ms. */
const MEMORY_MS = 8000;
/** Before this an estimate would only be noise, ms. */
const HIDE_ETA_MS = 3000;

/**
 * Turns the work of all stages into one percentage. Each stage counts by the seconds it is expected
 * to take, and a better estimate changes only how the span that is left is shared: the percentage
 * never falls, and moves only when work is done.
 */
export class ProgressMeter {
  readonly #expected: Record<WorkStage, number>;
  readonly #done: Record<WorkStage, number> = {
    downloading: 0,
    rendering: 0,
    uploading: 0,
    verifying: 0,
  };
  readonly #startedAt: number;
  #percent = 0;
  #rate: number | undefined;
  #sampled: { at: number; percent: number };

  /** @param expected seconds each stage is expected to take. */
  constructor(expected: Readonly<Record<WorkStage, number>>, now: number) {
    this.#expected = { ...expected };
    this.#startedAt = now;
    this.#sampled = { at: now, percent: 0 };
  }

  /** Of the whole job, 0–99.9. */
  get percent(): number {
    return this.#percent;
  }

  /** Corrects how long a whole stage will take, s. */
  expect(stage: WorkStage, seconds: number): void {
    if (Number.isFinite(seconds) && seconds > 0) this.#expected[stage] = seconds;
  }

  /** Says how much of a stage is done, 0–1; the stages before it count as done. */
  advance(stage: WorkStage, fraction: number, now: number): void {
    for (const earlier of WORK_STAGES) {
      if (earlier === stage) break;
      this.#finish(earlier, 1);
    }
    this.#finish(stage, Math.min(1, Math.max(0, fraction)));
    this.#sample(now);
  }

  /** Time left, ms; undefined while it is not known. */
  eta(now: number): number | undefined {
    if (now - this.#startedAt < HIDE_ETA_MS || !this.#rate) return undefined;
    const eta = Math.round((TOP - this.#percent) / this.#rate);
    // A rate can be so small that nothing sensible follows from it.
    return Number.isFinite(eta) ? eta : undefined;
  }

  #finish(stage: WorkStage, fraction: number): void {
    const step = fraction - this.#done[stage];
    if (!(step > 0)) return;
    const left = this.#secondsLeft();
    this.#done[stage] = fraction;
    if (left <= 0) return;
    const share = Math.min(1, (step * this.#expected[stage]) / left);
    this.#percent += (TOP - this.#percent) * share;
  }

  #secondsLeft(): number {
    let sum = 0;
    for (const stage of WORK_STAGES) sum += (1 - this.#done[stage]) * this.#expected[stage];
    return sum;
  }

  #sample(now: number): void {
    const elapsed = now - this.#sampled.at;
    if (elapsed < 200) return;
    const rate = (this.#percent - this.#sampled.percent) / elapsed;
    const weight = 1 - Math.exp(-elapsed / MEMORY_MS);
    this.#rate = this.#rate === undefined ? rate : this.#rate + weight * (rate - this.#rate);
    this.#sampled = { at: now, percent: this.#percent };
  }
}
