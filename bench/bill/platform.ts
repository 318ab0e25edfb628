// Responsible for simulated time around one object: its alarm, the sweep of each minute, its viewers'
// pings, and hibernation. Must not know what job is played.
import { createScheduledController, evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { vi } from 'vitest';
import { unmetered } from './meter.ts';
import { MESSAGES_PER_REQUEST } from './prices.ts';
import { newTally, tally } from './tally.ts';
import worker from './worker.ts';

const PING_MS = 30_000;
const SWEEP_MS = 60_000;
/** An object that nothing happens to for this long hibernates, ms (Durable Objects, lifecycle). */
const HIBERNATE_MS = 10_000;
/** An eviction waits for what keeps the object awake; one that takes this long is given up, ms. */
const EVICTION_MS = 2000;
const MAX_STEPS = 2000;
/** How long one thing that was set off may take, in looks of 2 ms. */
const MAX_LOOKS = 5000;
/** Far enough away that no alarm is ever due by the real clock. */
const START = Date.UTC(2040, 0, 1);

/** A viewer with its socket. */
export interface Watcher {
  /** Sends a ping and waits for its answer. */
  ping(): Promise<void>;
  leave(): void;
}

/** Begins a bill and its time, with all dice showing the same. */
export function startOver(isLogged: boolean): void {
  newTally(isLogged);
  vi.useFakeTimers({ toFake: ['Date'], now: START });
  vi.spyOn(Math, 'random').mockReturnValue(0.5);
}

/** Waits for a condition in real time: simulated time stands still. */
export async function eventually(isSo: () => boolean): Promise<void> {
  for (let looks = 0; looks < MAX_LOOKS; looks += 1) {
    if (isSo()) return;
    await scheduler.wait(2);
  }
  throw new Error('it does not come about');
}

/** Waits until nothing is under way in the object. */
export function quiet(): Promise<void> {
  return eventually(() => tally.pending.size === 0);
}

export class Platform {
  readonly #object: DurableObjectStub;
  #viewers: readonly Watcher[];
  #pingAt = Date.now() + PING_MS;
  #sweepAt = Date.now() + SWEEP_MS;
  #isStuck = false;

  constructor(object: DurableObjectStub, viewers: readonly Watcher[]) {
    this.#object = object;
    this.#viewers = viewers;
  }

  /** Lets time pass, and all that is due in it happen in order. */
  async pass(ms: number): Promise<void> {
    const until = Date.now() + ms;
    for (let steps = 0; steps < MAX_STEPS; steps += 1) {
      await this.#moveTo(Math.min(until, this.#alarmAt, this.#pingAt, this.#sweepAt));
      const now = Date.now();
      if (now >= this.#alarmAt) await this.#alarm();
      else if (now >= this.#pingAt) await this.#ping();
      else if (now >= this.#sweepAt) await this.#sweep();
      else return;
    }
    throw new Error('time does not pass');
  }

  /** From alarm to alarm until none is left: nothing else happens to a job that has ended. */
  async rest(): Promise<void> {
    for (let steps = 0; steps < MAX_STEPS; steps += 1) {
      if (tally.alarmAt === null) return;
      await this.#moveTo(this.#alarmAt);
      await this.#alarm();
    }
    throw new Error('the object does not come to rest');
  }

  /** Takes the object out of memory, as a deploy does; what keeps it from going is billed. */
  async evict(): Promise<void> {
    await quiet();
    if (this.#isStuck || (await this.#isEvicted())) return;
    this.#isStuck = true;
    tally.awake.push({ from: tally.eventAt, until: Number.POSITIVE_INFINITY });
  }

  /** All viewers go, and the object hears of it. */
  async closeAll(): Promise<void> {
    const { length } = this.#viewers;
    const heard = () => tally.causesOf('objectRequests')['webSocketClose'] ?? 0;
    for (const viewer of this.#viewers) viewer.leave();
    this.#viewers = [];
    await eventually(() => Math.round(heard() * MESSAGES_PER_REQUEST) >= length);
    await quiet();
  }

  get #alarmAt(): number {
    return tally.alarmAt ?? Number.POSITIVE_INFINITY;
  }

  async #moveTo(at: number): Promise<void> {
    await quiet();
    if (at - tally.eventAt >= HIBERNATE_MS) await this.evict();
    vi.setSystemTime(Math.max(at, Date.now()));
  }

  async #isEvicted(): Promise<boolean> {
    const gone = evictDurableObject(this.#object).catch((error: unknown) => {
      if (!/not currently running/.test(String(error))) throw error;
    });
    const patience = Promise.withResolvers<false>();
    const timer = setTimeout(() => patience.resolve(false), EVICTION_MS);
    const isGone = await Promise.race([gone.then(() => true), patience.promise]);
    clearTimeout(timer);
    return isGone;
  }

  async #alarm(): Promise<void> {
    tally.alarmAt = null;
    await runInDurableObject(this.#object, async (instance, ctx) => {
      await unmetered(ctx).deleteAlarm();
      await instance.alarm?.();
    });
    await quiet();
  }

  async #ping(): Promise<void> {
    this.#pingAt += PING_MS;
    await Promise.all(this.#viewers.map((viewer) => viewer.ping()));
  }

  /** The sweep's own request is one for all jobs of a deployment, so it is not on the bill of one. */
  async #sweep(): Promise<void> {
    this.#sweepAt += SWEEP_MS;
    await worker.scheduled(createScheduledController(), env);
    await quiet();
  }
}
