import { isRetryable, parseJson } from './errors.ts';
import { isPollReply } from './guards.ts';
import { pathOf, type Http } from './http.ts';
import { newSpan, pause, type Span } from './span.ts';
import { openSocket } from './socket.ts';
import { runStream } from './stream.ts';
import { backoff, jitter, type Timing } from './timing.ts';

/** The ways to watch, the best first. */
const WAYS = ['socket', 'stream', 'poll'] as const;
const WORST = WAYS.length - 1;
export type Way = (typeof WAYS)[number];

export interface Followed {
  readonly id: string;
  readonly http: Http;
  /** Undefined where there are no sockets. */
  readonly WebSocket: typeof WebSocket | undefined;
  /** The last `seq` seen, or null. */
  since(): number | null;
  /** Something was heard. If it is of this job, `by` tells which way is kept up; undefined leaves that. */
  take(message: unknown, by: () => Way | undefined): void;
  /** What is shown may be out of date. */
  lost(): void;
}

/** What it takes to open one connection. */
export interface Dial {
  url: string;
  token: string | null;
  timing: Timing;
  onText: (text: string) => void;
}

/**
 * Keeps a job's truth coming until `signal` aborts, by the best way that works: after some failures in a
 * row it goes round the ways, and from one that works to a better one as soon as that speaks again.
 * @throws {ExportApiError} when the server says for good that this job may not be watched.
 */
export async function follow(job: Followed, signal: AbortSignal): Promise<void> {
  const { timing } = job.http;
  const best = job.WebSocket ? 0 : 1;
  let way = best;
  let failures = 0;
  let line = dial(job, way, signal);

  // The way in use goes on meanwhile, so that trying costs nothing where nothing better gets through.
  const tryWay = (other: number) => {
    const trial = dial(job, other, signal, () => {
      if (trial === line) return;
      if (other >= way) return trial.finish();
      const old = line;
      [line, way, failures] = [trial, other, 0];
      old.finish();
    });
  };
  const climb = async () => {
    while (!signal.aborted) {
      await pause(jitter(timing.better, timing), timing, signal);
      for (let other = best; other < way; other += 1) tryWay(other);
    }
  };
  void climb();

  for (;;) {
    const mine = line;
    const uptime = await mine.end;
    if (signal.aborted) return;
    if (mine !== line) continue;
    job.lost();
    failures = (uptime ?? 0) < timing.uptime ? failures + 1 : 0;
    // A browser hides why an upgrade was refused, and a socket to a job that nobody has made may stay
    // silent; a plain GET tells.
    if (uptime === null || job.since() === null) await look(job, signal);
    await pause(backoff(failures, timing), timing, signal);
    if (mine !== line) continue;
    if (failures >= timing.failures) way = way < WORST ? way + 1 : best;
    line = dial(job, way, signal);
  }
}

/** Opens one connection. `spoke` is called whenever it brings something of this job. */
function dial(job: Followed, way: number, signal: AbortSignal, spoke?: () => void): Span {
  const line = newSpan(job.http.timing, signal);
  // However it fails, it is over; whether the job may be watched at all, a plain GET tells.
  open(job, way, line, spoke).catch(() => line.finish());
  return line;
}

async function open(job: Followed, way: number, line: Span, spoke?: () => void): Promise<void> {
  const { http, WebSocket } = job;
  const { timing } = http;
  const since = job.since();
  line.after(timing.request);
  const token = await http.token(job.id);
  if (line.signal.aborted) return;
  line.after(timing.connect);
  const path = `${pathOf(job.id)}/${way === 0 ? 'ws' : 'stream'}`;
  const dial: Dial = {
    url: http.url(path + (since === null ? '' : `?since=${since}`)),
    token,
    timing,
    onText(text) {
      job.take(parseJson(text), () => {
        spoke?.();
        return line.signal.aborted ? undefined : WAYS[way];
      });
    },
  };
  if (way === 0 && WebSocket) return openSocket(line, WebSocket, dial);
  await (way === WORST ? poll(job, line) : runStream(line, http.fetch, dial));
  line.finish();
}

/** Asks again and again, each time until there is news, and ends with the first failure. */
async function poll(job: Followed, line: Span): Promise<void> {
  const { timing } = job.http;
  // The first one does not wait, so that it is known at once whether polls get through.
  for (let wait = 0; !line.signal.aborted; wait = timing.wait) {
    line.after(timing.request);
    const spaced = pause(timing.poll, timing, line.signal);
    await ask(job, line.signal, 'poll', wait);
    line.open();
    await spaced;
  }
}

/** One plain GET. @throws {ExportApiError} when there will never be an answer. */
async function look(job: Followed, signal: AbortSignal): Promise<void> {
  try {
    await ask(job, signal);
  } catch (error) {
    if (!signal.aborted && !isRetryable(error)) throw error;
  }
}

/** Asks once what happened, and waits for that at most so many seconds. */
async function ask(job: Followed, signal: AbortSignal, way?: Way, wait = 0): Promise<void> {
  const since = job.since();
  const path = pathOf(job.id) + (since === null ? '' : `?since=${since}&wait=${wait}`);
  const { events = [], ...now } = await job.http.call(path, isPollReply, { jobId: job.id, signal });
  for (const message of [...events, now]) job.take(message, () => way);
}
