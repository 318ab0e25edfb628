import { follow, type Followed, type Way } from './follow.ts';
import { errorOf } from './timing.ts';

/** A connection in one word, the way by which it comes where that is known. */
export type Link = Way | 'idle' | 'connecting' | 'reconnecting' | 'offline';

/** What a state says of the link: `stale` when what is shown may be old. */
export type Linked = { stale: boolean } & (
  | { connection: 'idle' | 'connecting' | 'reconnecting' | 'offline'; via: null }
  | { connection: 'live'; via: 'socket' | 'stream' }
  | { connection: 'polling'; via: 'poll' }
);

export function linked(link: Link): Linked {
  const stale = link === 'offline' || link === 'reconnecting';
  if (link === 'poll') return { connection: 'polling', via: link, stale };
  if (link === 'socket' || link === 'stream') return { connection: 'live', via: link, stale };
  return { connection: link, via: null, stale };
}

/**
 * A state that any number of listeners follow. It is kept up to date from when the first one comes until a
 * microtask after the last one has gone. `for await` yields the newest state and ends with the last one.
 */
export abstract class Live<
  S extends { connection: string; error: Error | null },
> implements AsyncIterable<S> {
  /** Stops watching. */
  protected readonly signal: AbortSignal | undefined;
  readonly #listeners = new Set<() => void>();
  #link: Link = 'idle';
  /** Null when it is to be made anew. */
  #state: S | null = null;
  #run: AbortController | null = null;
  #isOver = false;

  constructor(signal: AbortSignal | undefined) {
    this.signal = signal;
  }

  /** What is to be seen; `error` says why there will be no more. */
  protected abstract view(link: Link, error: Error | null): S;

  /** What is to be followed. */
  protected abstract followed(): Followed;

  /** The newest state; the same object until something changes. */
  readonly getSnapshot = (): S => (this.#state ??= this.view(this.#link, null));

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

  /** What is known has changed. */
  protected changed(state: S | null = null): void {
    if (this.#isOver) return;
    this.#state = state;
    for (const listener of this.#listeners) listener();
  }

  /** Nothing will change after this. */
  protected end(state?: S): void {
    this.changed(state);
    this.#isOver = true;
    this.#stop();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<S, void, undefined> {
    let changed: () => void = () => undefined;
    const unsubscribe = this.subscribe(() => changed());
    try {
      while (!this.signal?.aborted) {
        const state = this.getSnapshot();
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
    if (this.#run || this.#isOver || this.signal?.aborted) return;
    this.#run = new AbortController();
    const { signal } = this.#run;
    this.signal?.addEventListener('abort', () => this.#stop(), { signal });
    this.#show('connecting');
    const lost = () => ((globalThis.navigator?.onLine ?? true) ? 'reconnecting' : 'offline');
    follow(this.followed(), (by) => this.#show(by ?? lost()), signal).catch((cause: unknown) => {
      if (!signal.aborted) this.end(this.view(this.#link, errorOf(cause)));
    });
  }

  #stop(): void {
    this.#run?.abort();
    this.#run = null;
    this.#show('idle');
  }

  #show(link: Link): void {
    if (link === this.#link) return;
    this.#link = link;
    this.changed();
  }
}
