// Responsible for one viewer on its own bad wire: it comes, goes away, comes back where it was, and notes
// all that it sees. Judges nothing: that is judge.ts.
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import type { Random } from '../random.ts';
import type { Tally } from '../tally.ts';
import { byGet, byLongPoll, byStream } from './by-fetch.ts';
import { bySdk } from './by-sdk.ts';
import { byFeed, bySocket, Ready } from './by-socket.ts';
import type { Spectator } from './judge.ts';
import type { Transport, ViewerPlan } from './plan.ts';
import { isOver, sightingOf, type Sighting } from './sighting.ts';
import { Storm } from './storm.ts';
import type { Watcher } from './watcher.ts';
import type { Way } from './way.ts';
import { Wire } from './wire.ts';

/** How long a viewer that has seen the end still listens, so that what must not come can come, ms. */
const LINGER_MS = 500;
/** How long one that comes back after the end stays, ms. */
const RETURN_MS = 4000;

/** What a firewall keeps a transport from. */
const BLOCKED: Partial<Record<Transport, RegExp>> = {
  'SDK without sockets': /^GET \S+\/ws[? ]/,
  'SDK with polls only': /^GET \S+\/(ws|stream)[? ]/,
};

export interface ViewerOptions {
  readonly plan: ViewerPlan;
  readonly jobId: string;
  readonly token: string;
  /** The server's. */
  readonly port: number;
  readonly random: Random;
  readonly tally: Tally;
}

export class Viewer implements Watcher {
  readonly suffered;
  readonly #options: ViewerOptions;
  readonly #storm = new Storm();
  readonly #sightings: Sighting[] = [];
  readonly #refusals: string[] = [];
  /** Epoch ms; null when it has not come. */
  #arrivedAt: number | null = null;
  /** The first cursor of a feed: from then on it must hear of everything. */
  #readyAt: number | null = null;
  readonly #way: Way;
  readonly #over = new AbortController();
  readonly #healed = new AbortController();
  #wire: Wire | undefined;
  #here = new AbortController();
  /** Until when it is away by its own will. */
  #back: Promise<void> = Promise.resolve();
  #hasEnded = false;
  #isDone = false;

  constructor(options: ViewerOptions) {
    this.#options = options;
    this.suffered = this.#storm.suffered;
    this.#way = this.#wayOf(options.plan);
  }

  /** Whether it has seen the end of its job, and all else that it wanted. */
  get isDone(): boolean {
    return this.#isDone;
  }

  /** Watches until the end is seen, or `close`. A feed's goes on until then. */
  async run(): Promise<void> {
    const { plan, port } = this.#options;
    await this.#pause(plan.arrivesAt);
    if (this.#over.signal.aborted) return;
    const wire = await Wire.start({ port, blocked: BLOCKED[plan.transport] });
    this.#wire = wire;
    this.#arrivedAt = Date.now();
    this.#storm.blow(wire, plan.faults, plan.arrivesAt, () => this.#isDone);
    for (const one of plan.breaks) void this.#leave(one);
    while (!this.#hasEnded && !this.#over.signal.aborted) await this.#visit(wire.url);
    if (plan.returns && !this.#over.signal.aborted) {
      const visit = this.#visit(wire.url);
      const { signal } = this.#here;
      await Promise.race([visit, this.#pause(RETURN_MS, signal)]);
      this.#here.abort();
      await visit;
    }
    this.#isDone = true;
  }

  heal(): void {
    this.#storm.calm();
    this.#healed.abort();
    this.#wire?.heal();
  }

  async close(): Promise<void> {
    this.heal();
    this.#over.abort();
    this.#here.abort();
    await this.#wire?.close();
  }

  async spectator(): Promise<Spectator | null> {
    const { plan, jobId } = this.#options;
    const { name, transport } = plan;
    if (this.#arrivedAt === null) return null;
    return {
      name,
      transport,
      jobId,
      arrivedAt: this.#arrivedAt,
      readyAt: this.#readyAt,
      sightings: this.#sightings,
      refusals: this.#refusals,
    };
  }

  async #visit(url: string): Promise<void> {
    const here = new AbortController();
    this.#here = here;
    const { signal } = here;
    const { jobId, token, random } = this.#options;
    const since = this.#sightings.at(-1)?.seq ?? null;
    const hear = (told: unknown) => void (signal.aborted || this.#hear(told, here));
    const refused = (why: string) => void this.#refusals.push(why);
    try {
      await this.#way({ url, jobId, token, since, signal, hear, refused });
    } catch {
      // Networks break; that is what this is about.
    }
    await this.#back;
    await this.#pause(random.between(50, 600));
  }

  #hear(told: unknown, here: AbortController): void {
    if (v.is(Ready, told)) this.#readyAt ??= told.cursor;
    const sighting = sightingOf(told, Date.now());
    if (!sighting) return;
    this.#sightings.push(sighting);
    if (this.#options.plan.transport === 'feed' || !isOver(sighting) || this.#hasEnded) return;
    this.#hasEnded = true;
    setTimeout(() => here.abort(), LINGER_MS);
  }

  async #leave({ at, ms }: { readonly at: number; readonly ms: number }): Promise<void> {
    await this.#pause(at - this.#options.plan.arrivesAt);
    if (this.#hasEnded) return;
    this.#back = this.#pause(ms, this.#healed.signal);
    this.#here.abort();
  }

  #wayOf({ transport, patient }: ViewerPlan): Way {
    switch (transport) {
      case 'socket':
        return bySocket();
      case 'feed':
        return byFeed();
      case 'stream':
        return byStream();
      case 'long poll':
        return byLongPoll();
      case 'plain GET':
        return byGet();
      case 'SDK':
      case 'SDK without sockets':
      case 'SDK with polls only':
        return bySdk(patient, (via) => this.#options.tally.add(`${transport}: by ${via}`));
    }
  }

  async #pause(ms: number, signal = this.#over.signal): Promise<void> {
    await sleep(ms, undefined, { signal }).catch(() => undefined);
  }
}
