import type { Api } from './api.ts';
import { isTaken } from './insist.ts';
import { reasonOf, type Log } from './log.ts';
import { abortLater } from './pause.ts';

/** How long the last update may still take once the job has ended, ms. */
const LAST_UPDATE_MS = 2000;

/**
 * Sends the newest value, one call at a time: so they arrive in order, and nobody waits for them.
 * An update that fails is not repeated, for the next one replaces it.
 */
export class Progress {
  readonly #send: (body: string, giveUp: AbortSignal) => Promise<number>;
  readonly #log: Log;
  readonly #closed = new AbortController();
  #next: { readonly value: unknown } | undefined;
  #sending: Promise<void> | undefined;

  constructor(api: Api, jobId: string, log: Log) {
    this.#send = (body, giveUp) => api.done(jobId, body, false, giveUp);
    this.#log = log;
  }

  report(value: unknown): void {
    if (this.#closed.signal.aborted) return;
    this.#next = { value };
    this.#sending ??= this.#sendAll();
  }

  /** After this nothing more is sent: an update that came after the result could undo it. */
  async close(): Promise<void> {
    this.#next = undefined;
    this.#closed.abort();
    await this.#sending;
  }

  async #sendAll(): Promise<void> {
    while (this.#next) {
      const { value } = this.#next;
      this.#next = undefined;
      await this.#sendOne(value);
    }
    this.#sending = undefined;
  }

  async #sendOne(value: unknown): Promise<void> {
    const over = new AbortController();
    try {
      const body = JSON.stringify({ status: 'IN_PROGRESS', output: value ?? null });
      const giveUp = abortLater(this.#closed.signal, LAST_UPDATE_MS, over.signal);
      const status = await this.#send(body, giveUp);
      if (!isTaken(status)) this.#log('warn', 'progress was refused', { status });
    } catch (error) {
      this.#log('warn', 'progress could not be sent', { reason: reasonOf(error) });
    } finally {
      over.abort();
    }
  }
}
