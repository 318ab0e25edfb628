import type { ExportJob } from '@export-jobs/protocol';
import {
  BEARER_SUBPROTOCOL,
  CLOSE_CODES,
  VIEWER_SUBPROTOCOL,
} from '@export-jobs/protocol/constants';
import { isRetryable, parseJson } from './errors.ts';
import { isJobReply } from './guards.ts';
import type { Http } from './http.ts';
import { runSocket, type SocketEnd } from './socket.ts';
import { backoff } from './timing.ts';
import { onWake } from './wake.ts';

export interface Followed {
  readonly id: string;
  readonly http: Http;
  readonly WebSocket: typeof WebSocket;
  /** The last `seq` seen, or null. */
  since(): number | null;
  /** A job was heard of, by socket or by poll. */
  receive(job: ExportJob, by: 'live' | 'polling'): void;
  /** What is shown may be out of date. */
  lost(): void;
}

/**
 * Keeps a job's truth coming until `signal` aborts: socket first, polling when sockets keep failing.
 * @throws {ExportApiError} when the server says for good that this job may not be watched.
 */
export async function follow(job: Followed, signal: AbortSignal): Promise<void> {
  const { timing } = job.http;
  let failures = 0;
  while (!signal.aborted) {
    const end = await dial(job, signal);
    if (signal.aborted) return;
    failures = end.uptime >= timing.uptime ? 0 : failures + 1;
    if (end.code === CLOSE_CODES.stale && failures < 2) continue;
    const polling = failures >= timing.failures;
    if (!polling) job.lost();
    // A browser hides why an upgrade was refused, and a socket to a job that nobody has made may stay
    // silent; a plain GET tells.
    if ((!end.opened || job.since() === null) && !polling)
      await refresh(job, signal, () => undefined);
    if (polling) await poll(job, signal);
    else await pause(backoff(Math.max(0, failures - 1), timing), signal);
  }
}

async function dial(job: Followed, signal: AbortSignal): Promise<SocketEnd> {
  const since = job.since();
  const query = since === null ? '' : `?since=${since}`;
  const path = `/api/jobs/${encodeURIComponent(job.id)}/ws${query}`;
  const protocols = [VIEWER_SUBPROTOCOL];
  try {
    const token = await job.http.token(job.id);
    if (token !== null) protocols.push(BEARER_SUBPROTOCOL + token);
  } catch (error) {
    if (isRetryable(error)) return { opened: false, uptime: 0, code: 1006 };
    throw error;
  }
  if (signal.aborted) return { opened: false, uptime: 0, code: 1000 };
  return runSocket({
    WebSocket: job.WebSocket,
    url: job.http.url(path).replace(/^http/, 'ws'),
    protocols,
    timing: job.http.timing,
    greeted: since === null,
    signal,
    onText(text) {
      const message = parseJson(text);
      if (isJobReply(message) && message.job.id === job.id) job.receive(message.job, 'live');
    },
  });
}

async function poll(job: Followed, signal: AbortSignal): Promise<void> {
  const { timing } = job.http;
  for (let n = 0; n < timing.pollsPerDial && !signal.aborted; n += 1) {
    await refresh(job, signal, () => job.lost());
    if (signal.aborted || (await pause(timing.poll, signal)) === 'woken') return;
  }
}

/** One GET. A failure that may pass is told to `failed`; any other is thrown. */
async function refresh(job: Followed, signal: AbortSignal, failed: () => void): Promise<void> {
  try {
    const path = `/api/jobs/${encodeURIComponent(job.id)}`;
    const reply = await job.http.call(path, isJobReply, { jobId: job.id, signal });
    job.receive(reply.job, 'polling');
  } catch (error) {
    if (signal.aborted) return;
    if (!isRetryable(error)) throw error;
    failed();
  }
}

/** Waits, but not past an abort or a wake-up. */
function pause(ms: number, signal: AbortSignal): Promise<'elapsed' | 'woken'> {
  return new Promise((resolve) => {
    const done = (how: 'elapsed' | 'woken') => {
      clearTimeout(timer);
      unwake();
      signal.removeEventListener('abort', abort);
      resolve(how);
    };
    const abort = () => done('elapsed');
    const timer = setTimeout(() => done('elapsed'), ms);
    const unwake = onWake(() => done('woken'));
    signal.addEventListener('abort', abort);
  });
}
