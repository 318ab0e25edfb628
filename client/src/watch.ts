import type { EndedJob, ExportJob } from '@export-jobs/protocol';
import { advance, withReport } from './advance.ts';
import { follow, type Followed, type Way } from './follow.ts';
import { isEnded, isJobReply, isReport } from './guards.ts';
import type { Http } from './http.ts';
import { errorOf, reasonOf } from './timing.ts';

interface Seen {
  job: ExportJob | null;
  error: null;
  /** What is shown may be old. */
  stale: boolean;
}

/**
 * What is known now, and how. `idle`: nobody listens. `live`: news come as they happen. `polling`: they
 * are asked for, because nothing better gets through. `reconnecting`: what is shown may be old; `offline`:
 * likewise, since the browser says that there is no network. `closed`: the job has ended, or may not be
 * watched (`error`).
 */
export type WatchState =
  | (Seen & { connection: 'idle' | 'connecting' | 'reconnecting' | 'offline'; via: null })
  | (Seen & { connection: 'live'; via: 'socket' | 'stream' })
  | (Seen & { connection: 'polling'; via: 'poll' })
  | { connection: 'closed'; via: null; job: EndedJob; error: null; stale: false }
  | { connection: 'closed'; via: null; job: ExportJob | null; error: Error; stale: true };

export type Connection = WatchState['connection'];

/** A connection that is not closed, in one word. */
type Link = Way | Exclude<Connection, 'live' | 'polling' | 'closed'>;

export interface WatchOptions {
  /** Stops watching. The export itself goes on. */
  signal?: AbortSignal | undefined;
  /** What is known already, to show at once and to resume from. */
  initial?: ExportJob | undefined;
}

/**
 * One job, watched over one connection by any number of listeners. Dials when the first one comes and
 * hangs up when the last one has gone. `for await` yields the newest state and ends with the job.
 */
export class ExportWatch implements AsyncIterable<WatchState> {
  readonly id: string;
  readonly #http: Http;
  readonly #WebSocket: typeof WebSocket | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #listeners = new Set<() => void>();
  #link: Link = 'idle';
  #state: WatchState;
  #run: AbortController | null = null;

  constructor(http: Http, socket: typeof WebSocket | undefined, id: string, options: WatchOptions) {
    this.id = id;
    this.#http = http;
    this.#WebSocket = socket;
    this.#signal = options.signal;
    this.#state = stateOf(options.initial ?? null, this.#link);
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
    if (job.id === this.id) this.#show(advance(this.#state.job, job), this.#link);
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
    let changed: () => void = () => undefined;
    const unsubscribe = this.subscribe(() => changed());
    try {
      while (!this.#signal?.aborted) {
        const state = this.#state;
        if (state.error) throw state.error;
        yield state;
        if (state.connection === 'closed') return;
        if (this.#state === state) await new Promise<void>((resolve) => (changed = resolve));
      }
    } finally {
      unsubscribe();
    }
  }

  #start(): void {
    if (this.#run || this.#state.connection === 'closed' || this.#signal?.aborted) return;
    this.#run = new AbortController();
    const { signal } = this.#run;
    this.#signal?.addEventListener('abort', () => this.#stop(), { signal });
    this.#show(this.#state.job, 'connecting');
    follow(this.#followed(signal), signal).catch((cause: unknown) => {
      if (signal.aborted) return;
      const { job } = this.#state;
      this.#set({ job, connection: 'closed', via: null, error: errorOf(cause), stale: true });
      this.#stop();
    });
  }

  /** The port of one run. */
  #followed(signal: AbortSignal): Followed {
    const { id } = this;
    return {
      id,
      http: this.#http,
      WebSocket: this.#WebSocket ?? globalThis.WebSocket,
      since: () => this.#state.job?.seq ?? null,
      take: (message, by) => {
        let { job } = this.#state;
        if (isJobReply(message) && message.job.id === id) job = advance(job, message.job);
        else if (isReport(message) && message.job_id === id) job = withReport(job, message);
        else return;
        // What an abandoned run still hears is not shown.
        if (!signal.aborted) this.#show(job, by() ?? this.#link);
      },
      lost: () => {
        const online = globalThis.navigator?.onLine ?? true;
        this.#show(this.#state.job, online ? 'reconnecting' : 'offline');
      },
    };
  }

  #stop(): void {
    this.#run?.abort();
    this.#run = null;
    this.#show(this.#state.job, 'idle');
  }

  #show(job: ExportJob | null, link: Link): void {
    const state = this.#state;
    if (state.connection === 'closed' || (job === state.job && link === this.#link)) return;
    this.#link = link;
    this.#set(stateOf(job, link));
    if (isEnded(job)) this.#stop();
  }

  #set(state: WatchState): void {
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }
}

function stateOf(job: ExportJob | null, link: Link): WatchState {
  const seen = { job, error: null, stale: false } as const;
  if (isEnded(job)) return { ...seen, job, connection: 'closed', via: null };
  switch (link) {
    case 'poll':
      return { ...seen, connection: 'polling', via: link };
    case 'socket':
    case 'stream':
      return { ...seen, connection: 'live', via: link };
    case 'idle':
    case 'connecting':
      return { ...seen, connection: link, via: null };
    case 'offline':
    case 'reconnecting':
      break;
  }
  return { ...seen, connection: link, via: null, stale: job !== null };
}
