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
}

/** Watches the job over a connection that breaks, and resumes where it was. */
export class Viewer {
  readonly #world: Sight;
  /** The last number that it has seen, in all connections. */
  seq = 0;
  /** How it saw the job end. */
  end: string | null = null;
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
    const since = this.seq > 0 ? `?since=${this.seq}` : '';
    const request = { url: `https://export.example/ws${since}`, headers: { get: () => null } };
    const response = await this.#world.look((object) => object.watch(pretend(request)));
    return response && pretend<{ webSocket: Socket | null }>(response).webSocket;
  }

  /** Listens until the connection ends, which flapping makes happen soon. */
  #hearOut(socket: Socket): Promise<void> {
    const { clock, random, faults } = this.#world;
    this.#isFresh = true;
    if (faults.strikes('viewer flaps', 0.5)) {
      clock.after(random.skewed(100, 300_000), () => socket.close());
    }
    return new Promise((resolve) => {
      // What was missed, and the present state, are there already; the rest is live.
      socket.listen((text) => this.#hear(text), resolve);
      this.#isFresh = false;
      // Nothing is said of a job that does not exist yet.
      if (this.seq === 0) clock.after(60_000, () => socket.close());
    });
  }

  /** I4: numbers without a gap, or a snapshot with a higher one; nothing after the end. */
  #hear(text: string): void {
    const seq = Number(/"seq":(\d+)/.exec(text)?.[1]);
    const type = /"type":"(\w+)"/.exec(text)?.[1] ?? '';
    if (!this.#mayFollow(seq, type)) this.#fail(`message ${seq} (${type}) after ${this.seq}`);
    if (this.end !== null && !(this.#isFresh && this.end === type)) {
      this.#fail(`${type} ${seq} after the end`);
    }
    this.seq = seq;
    const isCancelled = type === 'status' && text.includes('"status":"cancelled"');
    if (isCancelled || type === 'complete' || type === 'error') this.end = type;
  }

  #mayFollow(seq: number, type: string): boolean {
    if (seq === this.seq + 1) return true;
    return this.#isFresh && (seq === this.seq || (type === 'status' && seq > this.seq));
  }

  #fail(detail: string): void {
    this.#world.violated('I4', `a viewer hears ${detail}`);
  }
}
