import type { EndedJob, ExportJob } from '@export-jobs/protocol';
import { advance } from './advance.ts';
import { follow, type Followed } from './follow.ts';
import { isEnded } from './guards.ts';
import type { Http } from './http.ts';
import { reasonOf } from './timing.ts';

/**
 * `idle`: nobody listens. `live`: the socket speaks. `polling`: no socket, but fresh by polling.
 * `reconnecting`: what is shown may be old. `closed`: the job ended, or may not be watched.
 */
export type Connection = 'idle' | 'connecting' | 'live' | 'reconnecting' | 'polling' | 'closed';

/** What is known now. `error` is set only when watching ended without the job's end. */
export type WatchState =
  | {
      job: ExportJob | null;
      connection: Exclude<Connection, 'closed'>;
      error: null;
      stale: boolean;
    }
  | { job: EndedJob; connection: 'closed'; error: null; stale: false }
  | { job: ExportJob | null; connection: 'closed'; error: Error; stale: true };

export interface WatchOptions {
  /** Stops watching. The export itself goes on. */
  signal?: AbortSignal | undefined;
  /** What is known already, to show at once and to resume from. */
  initial?: ExportJob | undefined;
}

/**
 * One job, watched over one socket by any number of listeners. Dials when the first one comes and
 * hangs up when the last one has gone. `for await` yields the newest state and ends with the job.
 */
export class ExportWatch implements AsyncIterable<WatchState> {
  readonly id: string;
  readonly #http: Http;
  readonly #WebSocket: typeof WebSocket | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #listeners = new Set<() => void>();
  #state: WatchState;
  #run: AbortController | null = null;

  constructor(http: Http, socket: typeof WebSocket | undefined, id: string, options: WatchOptions) {
    this.id = id;
    this.#http = http;
    this.#WebSocket = socket;
    this.#signal = options.signal;
    this.#state = stateOf(options.initial ?? null, 'idle');
    options.signal?.addEventListener('abort', () => this.#aborted(), { once: true });
  }

  /** The newest state; the same object until something changes. */
  readonly getSnapshot = (): WatchState => this.#state;

  /** Calls back at each change, until the returned function is called. */
  readonly subscribe = (listener: () => void): (() => void) => {
    // A wrapper of its own, so that the same function may listen twice.
    const entry = () => listener();
    this.#listeners.add(entry);
    this.#start();
    return () => {
      this.#listeners.delete(entry);
      // Later, because React's StrictMode leaves and returns within one task.
      queueMicrotask(() => {
        if (this.#listeners.size === 0) this.#stop();
      });
    };
  };

  /** Takes a job that was learnt elsewhere, such as from a list or a cancel. */
  offer(job: ExportJob): void {
    const { connection, error } = this.#state;
    if (job.id === this.id && error === null) this.#show(advance(this.#state.job, job), connection);
  }

  /**
   * Watches until the job ends. A failed export is a result, not an exception.
   * @throws {ExportApiError} when the job cannot be watched; the signal's reason when it aborts.
   */
  async result(): Promise<EndedJob> {
    for await (const state of this) if (isEnded(state.job)) return state.job;
    throw reasonOf(this.#signal);
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WatchState, void, undefined> {
    let changed = Promise.withResolvers<void>();
    const unsubscribe = this.subscribe(() => changed.resolve());
    try {
      while (!this.#signal?.aborted) {
        const state = this.#state;
        changed = Promise.withResolvers<void>();
        if (state.error !== null) throw state.error;
        yield state;
        if (state.connection === 'closed') return;
        if (this.#state === state) await changed.promise;
      }
    } finally {
      unsubscribe();
    }
  }

  #start(): void {
    if (this.#run !== null || this.#state.connection === 'closed' || this.#signal?.aborted) return;
    const run = new AbortController();
    this.#run = run;
    this.#show(this.#state.job, 'connecting');
    follow(this.#followed(run.signal), run.signal).catch((error: unknown) => {
      if (run.signal.aborted) return;
      this.#fail(error instanceof Error ? error : new Error(String(error)));
    });
  }

  /** The port of one run. What an abandoned run still hears is not shown. */
  #followed(signal: AbortSignal): Followed {
    const show = (job: ExportJob | null, connection: Connection) => {
      if (!signal.aborted) this.#show(job, connection);
    };
    return {
      id: this.id,
      http: this.#http,
      WebSocket: this.#WebSocket ?? globalThis.WebSocket,
      since: () => this.#state.job?.seq ?? null,
      receive: (job, by) => show(advance(this.#state.job, job), by),
      lost: () => show(this.#state.job, 'reconnecting'),
    };
  }

  #stop(): void {
    this.#run?.abort();
    this.#run = null;
    if (this.#state.connection !== 'closed') this.#show(this.#state.job, 'idle');
  }

  #aborted(): void {
    this.#stop();
    for (const listener of this.#listeners) listener();
  }

  #fail(error: Error): void {
    this.#run = null;
    this.#set({ job: this.#state.job, connection: 'closed', error, stale: true });
  }

  #show(job: ExportJob | null, connection: Connection): void {
    const next = stateOf(job, connection);
    if (next.job === this.#state.job && next.connection === this.#state.connection) return;
    this.#set(next);
    if (next.connection === 'closed') this.#stop();
  }

  #set(state: WatchState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

function stateOf(job: ExportJob | null, connection: Connection): WatchState {
  if (isEnded(job)) return { job, connection: 'closed', error: null, stale: false };
  const open = connection === 'closed' ? 'idle' : connection;
  return { job, connection: open, error: null, stale: job !== null && open === 'reconnecting' };
}
