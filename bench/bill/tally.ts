// Responsible for what one played job has used so far, by unit and by cause. Must not know who asks.
import { UNITS, eachUnit } from './prices.ts';
import type { Counts, Unit } from './prices.ts';

/**
 * Time that cannot be measured here, because it depends on Cloudflare's machines and distances; ms.
 * Guesses on the safe side: what is counted is how often each happens.
 */
export const ASSUMED_MS = {
  /** CPU of one request of the Worker. */
  workerCpu: 1,
  /** An object at work on one event, without what it waits for; a message takes a tenth of that CPU. */
  event: 3,
  message: 1,
  /** An object that waits for one statement of D1, one operation of R2, one call of RunPod. */
  d1: 17,
  r2: 50,
  provider: 300,
};

/** Simulated epoch ms. */
export interface Span {
  from: number;
  until: number;
}

class Tally {
  /** Whether each event is also written to Workers Logs. */
  readonly isLogged: boolean;
  /** When something besides events keeps the object awake. */
  readonly awake: Span[] = [];
  /** When the object's alarm is due, and when it last was at work; simulated epoch ms. */
  alarmAt: number | null = null;
  eventAt = 0;
  /** Events and effects of the object that are under way. */
  readonly pending = new Set<Promise<unknown>>();
  readonly #causes = new Map<Unit, Map<string, number>>(UNITS.map((unit) => [unit, new Map()]));

  constructor(isLogged: boolean) {
    this.isLogged = isLogged;
  }

  add(unit: Unit, cause: string, n = 1): void {
    if (n === 0) return;
    const causes = this.#causes.get(unit);
    causes?.set(cause, (causes.get(cause) ?? 0) + n);
  }

  /** Bills the time that the object was kept awake; what overlaps is billed once. */
  settle(now: number): void {
    let end = 0;
    for (const { from, until } of this.awake.toSorted((a, b) => a.from - b.from)) {
      const last = Math.min(until, now);
      this.add('objectMs', 'kept awake', Math.max(0, last - Math.max(end, from)));
      end = Math.max(end, last);
    }
    this.awake.length = 0;
  }

  /** What a unit was used for. */
  causesOf(unit: Unit): Record<string, number> {
    return Object.fromEntries(this.#causes.get(unit) ?? []);
  }

  of(unit: Unit): number {
    const sum = Object.values(this.causesOf(unit)).reduce((a, b) => a + b, 0);
    return Math.round(sum * 100) / 100;
  }

  get counts(): Counts {
    return eachUnit((unit) => this.of(unit));
  }
}

/** The bill of the job that is being played: one at a time. */
export let tally = new Tally(false);

export function newTally(isLogged: boolean): void {
  tally = new Tally(isLogged);
}
