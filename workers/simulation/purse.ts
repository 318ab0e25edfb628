import type { Job } from '../src/job/job.ts';
import { DOLLARS_PER_S } from './environment.ts';
import { keyOf, ownerOf } from './witness.ts';

/** Dollars turned into time and back may be wrong by so much, ms. */
export const ROUNDING_MS = 1;

/** What the renderers of the job have cost, counted beside the object by who had the attempt when. */
export class Purse {
  #owner: string | null = null;
  #since = 0;
  /** Time of owners that are no more, ms. */
  spentMs = 0;

  /** After a change: whoever lost the attempt has cost what it has. */
  changed(job: Job, now: number): void {
    const owner = ownerOf(job);
    const key = owner && keyOf(owner);
    if (key === this.#owner) return;
    if (this.#owner !== null) this.spentMs += now - this.#since;
    [this.#owner, this.#since] = [key, now];
  }

  /** How long its renderers may still work for the job, ms; infinite without a limit. */
  left(job: Job, now: number): number {
    const runningMs = this.#owner === null ? 0 : now - this.#since;
    return limitOf(job) - this.spentMs - runningMs;
  }

  /** When the present owner will have spent the rest, epoch ms. */
  emptyAt(job: Job): number {
    return this.#since + Math.max(0, limitOf(job) - this.spentMs) + ROUNDING_MS;
  }
}

/** How long its renderers may work for a job, ms. */
function limitOf({ request }: Job): number {
  const dollars = request?.maxDollars ?? null;
  return dollars === null ? Number.POSITIVE_INFINITY : Math.floor((dollars / DOLLARS_PER_S) * 1000);
}
