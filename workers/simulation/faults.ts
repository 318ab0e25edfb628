import type { Clock } from './clock.ts';
import type { Random } from './random.ts';

/** Everything that may go wrong; each seed switches each class on or off (a swarm). */
export const FAULTS = [
  // Calls between renderers, clients and the object.
  'request lost',
  'answer lost',
  'request doubled',
  'request late',
  'stale call',
  // Sockets of renderers.
  'socket refused',
  'socket cut',
  'socket half-open',
  'socket late',
  // The object's process.
  'crash before commit',
  'crash after commit',
  'process killed',
  'evicted',
  'alarm late',
  'alarm lost',
  'alarm refused',
  // What the object leans on.
  'D1 down',
  'D1 slow',
  'D1 answer lost',
  'R2 down',
  'provider down',
  'provider busy',
  'provider answer lost',
  'provider slow',
  'provider forgets',
  'provider refuses',
  'provider redelivers',
  'webhook lost',
  'webhook doubled',
  // Renderers.
  'renderer dies',
  'renderer pauses',
  'renderer deaf',
  'renderer fails',
  'renderer stalls',
  'output broken',
  // People.
  'create repeated',
  'cancel',
  'viewer flaps',
  'sweep skipped',
] as const;
export type Fault = (typeof FAULTS)[number];

/** Faults that come as a time of their own, in which everything of one kind fails. */
export type Outage = Extract<Fault, `${string} down`>;
export const OUTAGES = ['D1 down', 'R2 down', 'provider down'] as const satisfies readonly Outage[];

/** Which faults one world has, how often they strike, and until when. */
export class Faults {
  /** From then on nothing goes wrong any more, epoch ms. */
  readonly endAt: number;
  readonly counts = new Map<Fault, number>();
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #weight = new Map<Fault, number>();
  readonly #outages = new Map<Fault, { from: number; to: number }>();

  /** @param only one outage of an hour, and nothing else, instead of what the seed would draw. */
  constructor(clock: Clock, random: Random, only: Outage | null) {
    this.#clock = clock;
    this.#random = random;
    if (only) {
      // The hand-over is the first thing that happens, an upload the last.
      const from = clock.now + (only === 'provider down' ? 0 : random.skewed(1000, 10 * 60_000));
      this.endAt = from + 3_600_000;
      this.#weight.set(only, 1);
      this.#outages.set(only, { from, to: this.endAt });
      return;
    }
    this.endAt = clock.now + random.skewed(3 * 60_000, 4 * 3_600_000);
    const density = random.pick([0, 0.15, 0.3, 0.5, 0.8]);
    for (const fault of FAULTS) {
      if (random.chance(density)) this.#weight.set(fault, random.pick([0.3, 1, 1, 4]));
    }
    for (const fault of OUTAGES) {
      if (!this.isOn(fault)) continue;
      const from = clock.now + random.skewed(1000, 20 * 60_000);
      this.#outages.set(fault, { from, to: from + random.skewed(5000, 2 * 3_600_000) });
    }
  }

  /** Whether this world has the class at all. */
  isOn(fault: Fault): boolean {
    return this.#weight.has(fault);
  }

  /** Whether faults are over for good. */
  get over(): boolean {
    return this.#clock.now >= this.endAt;
  }

  /** Draws whether a fault strikes now; `probability` is for a world of usual weather. */
  strikes(fault: Fault, probability: number): boolean {
    const weight = this.#weight.get(fault);
    if (weight === undefined || this.over) return false;
    if (!this.#random.chance(Math.min(0.9, probability * weight))) return false;
    this.#count(fault);
    return true;
  }

  /** Whether an outage is going on. */
  isDown(fault: Outage): boolean {
    const outage = this.#outages.get(fault);
    const { now } = this.#clock;
    if (!outage || now < outage.from || now >= Math.min(outage.to, this.endAt)) return false;
    this.#count(fault);
    return true;
  }

  #count(fault: Fault): void {
    this.counts.set(fault, (this.counts.get(fault) ?? 0) + 1);
  }
}
