import type { Timing } from './timing.ts';
import { onWake } from './wake.ts';

/** Something that lasts for a while, a connection or a wait: its one timer, and its end. */
export interface Span {
  /** Resolves when it is over, with how long it was open, ms; null when it never was. Never rejects. */
  readonly end: Promise<number | null>;
  /** Aborts then. */
  readonly signal: AbortSignal;
  open: () => void;
  /** Ends it after so long, or does `action`, unless it is called again before. */
  after(ms: number, action?: () => void): void;
  finish: () => void;
  /** What to do when someone looks again, to be sure that it lives. */
  probe: () => void;
}

/** `signal` ends it, and so does whatever makes old connections dubious. */
export function newSpan(timing: Timing, signal?: AbortSignal): Span {
  const over = new AbortController();
  const { promise, resolve } = Promise.withResolvers<number | null>();
  let openedAt: number | null = null;
  let timer: ReturnType<typeof setTimeout>;
  const finish = () => {
    clearTimeout(timer);
    resolve(openedAt && performance.now() - openedAt);
    over.abort();
  };
  const span: Span = {
    end: promise,
    signal: over.signal,
    finish,
    probe: () => undefined,
    open() {
      openedAt ??= performance.now();
    },
    after(ms, action = finish) {
      clearTimeout(timer);
      if (!over.signal.aborted) timer = setTimeout(action, ms);
    },
  };
  signal?.addEventListener('abort', finish, { signal: over.signal });
  onWake((away) => (away > timing.hidden ? finish : span.probe)(), over.signal);
  if (signal?.aborted) finish();
  return span;
}

/** Waits, but not past an abort or a wake-up. Never rejects. */
export function pause(ms: number, timing: Timing, signal?: AbortSignal): Promise<unknown> {
  const span = newSpan(timing, signal);
  span.probe = span.finish;
  span.after(ms);
  return span.end;
}
