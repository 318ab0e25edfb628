import { isRetryable, parseJson } from './errors.ts';
import type { Http } from './http.ts';
import { newSpan, pause, type Span } from './span.ts';
import { openSocket } from './socket.ts';
import { runStream } from './stream.ts';
import { backoff, jitter, type Timing } from './timing.ts';

/** The ways to hear of something, the best first. */
const WAYS = ['socket', 'stream', 'poll'] as const;
export type Way = (typeof WAYS)[number];

/** Those of `ways` that this runtime has. */
export const waysOf = (http: Http, ways: readonly Way[] = WAYS): readonly Way[] =>
  http.WebSocket ? ways : ways.slice(1);

/** What is kept up to date. */
export interface Followed {
  readonly http: Http;
  readonly timing: Timing;
  /** How that can be done here, the best first. */
  readonly ways: readonly Way[];
  token(): Promise<string | null>;
  /** Where a socket or a stream of it is, from the last thing seen on. */
  path(way: Way): string;
  /** Whether nothing was seen yet. */
  isNew(): boolean;
  /** Something was heard. Returns whether what is known is now up to date. */
  take(message: unknown): boolean;
  /** Asks what happened since, and may wait for that at most so many seconds. */
  poll(signal: AbortSignal, wait: number): Promise<void>;
  /** One plain GET. @throws {ExportApiError} when this may not be watched. */
  look(signal: AbortSignal): Promise<void>;
}

/** What it takes to open one connection. */
export interface Dial {
  url: string;
  token: string | null;
  timing: Timing;
  onText: (text: string) => void;
}

/**
 * Keeps the truth coming until `signal` aborts, by the best way that works: after some failures in a
 * row it goes round the ways, and from one that works to a better one as soon as that speaks again.
 * `show` is told the way by which what is known is up to date, or null when it may not be.
 * @throws {ExportApiError} when the server says for good that this may not be watched.
 */
export async function follow(
  it: Followed,
  show: (by: Way | null) => void,
  signal: AbortSignal,
): Promise<void> {
  const { timing } = it;
  let way = 0;
  let failures = 0;

  // The way in use goes on until a better one speaks, so that trying one costs nothing where it cannot.
  const dial = (to: number): Span => {
    const mine = connect(it, to, signal, (by) => {
      if (line !== mine) {
        if (to >= way) return mine.finish();
        const old = line;
        line = mine;
        way = to;
        failures = 0;
        old.finish();
      }
      show(by);
    });
    return mine;
  };
  let line = dial(way);
  const climb = async () => {
    while (!signal.aborted) {
      await pause(jitter(timing.better, timing), timing, signal);
      for (let better = 0; better < way; better += 1) dial(better);
    }
  };
  void climb();

  for (;;) {
    const mine = line;
    const uptime = await mine.end;
    if (signal.aborted) return;
    if (mine !== line) continue;
    show(null);
    failures = (uptime ?? 0) < timing.uptime ? failures + 1 : 0;
    // A browser hides why an upgrade was refused, and a socket to what nobody has made may stay silent;
    // a plain GET tells.
    if (uptime === null || it.isNew()) {
      await it.look(signal).catch((error: unknown) => {
        if (!signal.aborted && !isRetryable(error)) throw error;
      });
    }
    await pause(backoff(failures, timing), timing, signal);
    if (mine !== line) continue;
    if (failures >= timing.failures) way = (way + 1) % it.ways.length;
    line = dial(way);
  }
}

/** Opens one connection. `heard` is called whenever that has brought what is known up to date. */
function connect(it: Followed, way: number, signal: AbortSignal, heard: (by: Way) => void): Span {
  const by = it.ways[way] ?? 'poll';
  const line = newSpan(it.timing, signal);
  // However it fails, it is over; whether this may be watched at all, a plain GET tells.
  open(it, by, line, () => line.signal.aborted || heard(by)).catch(line.finish);
  return line;
}

async function open(it: Followed, way: Way, line: Span, heard: () => unknown): Promise<void> {
  const { http, timing } = it;
  line.after(timing.request);
  const token = await it.token();
  if (line.signal.aborted) return;
  line.after(timing.connect);
  const dial: Dial = {
    url: http.url(it.path(way)),
    token,
    timing,
    onText: (text) => {
      if (it.take(parseJson(text))) heard();
    },
  };
  if (way === 'socket' && http.WebSocket) return openSocket(line, http.WebSocket, dial);
  await (way === 'poll' ? poll(it, line, heard) : runStream(line, http.fetch, dial));
  line.finish();
}

/** Asks again and again, each time until there is news, and ends with the first failure. */
async function poll(it: Followed, line: Span, heard: () => unknown): Promise<void> {
  const { timing } = it;
  // The first one does not wait, so that it is known at once whether polls get through.
  for (let wait = 0; !line.signal.aborted; wait = timing.wait) {
    line.after(timing.request);
    const spaced = pause(timing.poll, timing, line.signal);
    await it.poll(line.signal, wait);
    line.open();
    heard();
    await spaced;
  }
}
