import type { ExportJobState } from '../../src/durable-objects/ExportJobState.ts';
import { pretend } from '../platform/pretend.ts';
import type { Socket } from '../platform/sockets.ts';
import { Unreachable } from '../stage.ts';
import type { Stage } from '../stage.ts';

/** What a viewer needs of its world. */
export interface Sight extends Stage {
  look<T>(entrance: (object: ExportJobState) => T | Promise<T>): Promise<T>;
  /** Whether there is nothing more to see. */
  readonly isSettled: boolean;
  /** How often the object has lost its memory. */
  readonly forgettings: number;
}

/** What a message says of the job. */
interface Heard {
  readonly seq: number;
  readonly type: string;
  readonly attempt: number;
  readonly progress: number;
}

/** Watches the job over a connection that breaks, and resumes where it was. */
export class Viewer {
  readonly #world: Sight;
  /** The last number that it has seen, in all connections. */
  seq = 0;
  /** How it saw the job end. */
  end: string | null = null;
  #attempt = 0;
  #progress = 0;
  /** How often the object had forgotten when that number was new. */
  #forgettings = 0;
  #isFresh = true;

  constructor(world: Sight) {
    this.#world = world;
    void this.#watch();
  }

  async #watch(): Promise<void> {
    const { clock, random } = this.#world;
    while (!this.#world.isSettled) {
      try {
        const socket = await this.#dial();
        if (socket) await this.#hearOut(socket);
      } catch (error) {
        if (!(error instanceof Unreachable)) throw error;
      }
      if (this.end !== null) return;
      await clock.sleep(random.skewed(1000, 60_000));
    }
  }

  async #dial(): Promise<Socket | null> {
    const since = this.seq > 0 ? this.seq : null;
    const request = { headers: { get: () => null } };
    const leave = { until: null, links: true };
    const response = await this.#world.look((object) =>
      object.watch(pretend(request), since, leave),
    );
    return response && pretend<{ webSocket: Socket | null }>(response).webSocket;
  }

  /** Listens until the connection ends, which flapping makes happen soon. */
  #hearOut(socket: Socket): Promise<void> {
    const { clock, random, faults } = this.#world;
    this.#isFresh = true;
    return new Promise((resolve) => {
      const leave = () => {
        socket.close(1000);
        resolve();
      };
      if (faults.strikes('viewer flaps', 0.5)) clock.after(random.skewed(100, 300_000), leave);
      // What was missed, and the present state, are there already; the rest is live.
      socket.listen({
        message: (text) => socket.isOpen && this.#hear(text),
        close: () => resolve(),
      });
      this.#isFresh = false;
      // Nothing is said of a job that does not exist yet.
      if (this.seq === 0) clock.after(60_000, leave);
    });
  }

  #hear(text: string): void {
    const heard = {
      seq: Number(/"seq":(\d+)/.exec(text)?.[1]),
      type: /"type":"(\w+)"/.exec(text)?.[1] ?? '',
      attempt: Number(/"attempt":(\d+)/.exec(text)?.[1]),
      progress: Number(/"progress":([\d.]+)/.exec(text)?.[1]),
    };
    if (this.#isStale(heard)) return;
    this.#judge(heard);
    const { seq, type, attempt, progress } = heard;
    // What it hears back of what it knew itself was not remembered.
    if (seq > this.seq) this.#forgettings = this.#world.forgettings;
    [this.seq, this.#attempt, this.#progress] = [seq, attempt, progress];
    const isCancelled = type === 'status' && text.includes('"status":"cancelled"');
    if (isCancelled || type === 'complete' || type === 'error') this.end = type;
  }

  /** An object that forgot may take an old report for news: by its number a viewer knows better. */
  #isStale({ seq, type }: Heard): boolean {
    const hasForgotten = this.#world.forgettings > this.#forgettings;
    return (
      type === 'progress' && seq < this.seq && changeOf(seq) === changeOf(this.seq) && hasForgotten
    );
  }

  /** I4: numbers never fall, and no change is skipped; I2: nor does progress fall. */
  #judge({ seq, type, attempt, progress }: Heard): void {
    if (seq < this.seq) this.#fail('I4', `${type} ${seq} after ${this.seq}`);
    const skips = changeOf(seq) > changeOf(this.seq) + 1;
    if (skips && this.seq > 0) this.#fail('I4', `${type} ${seq} after ${this.seq}`);
    if (this.end !== null && !(this.#isFresh && this.end === type)) {
      this.#fail('I4', `${type} ${seq} after the end`);
    }
    if (attempt !== this.#attempt || progress >= this.#progress) return;
    // The next change may be made by an object that forgot; until then its viewers remind it.
    const isNext = changeOf(seq) > changeOf(this.seq);
    if (isNext && this.#world.forgettings > this.#forgettings) return;
    this.#fail('I2', `progress ${progress} (${seq}) after ${this.#progress} (${this.seq})`);
  }

  #fail(invariant: string, detail: string): void {
    this.#world.violated(invariant, `a viewer hears ${detail}`);
  }
}

/** Which change a number belongs to: its thousands. */
function changeOf(seq: number): number {
  return Math.floor(seq / 1000);
}
