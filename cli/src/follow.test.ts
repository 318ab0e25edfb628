import {
  createClient,
  ExportApiError,
  type ExportJob,
  type ExportWatch,
} from '@export-jobs/client';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { complete, processing } from '../test/jobs.ts';
import { CliError, EXIT, Interrupted } from './exit.ts';
import { followToEnd } from './follow.ts';

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

/** A socket that closes before it opens. */
class Closed extends EventTarget {
  constructor() {
    super();
    setTimeout(() => this.dispatchEvent(new CloseEvent('close', { code: 1006 })), 10);
  }
  close() {}
}
const Refused = new Proxy(WebSocket, { construct: () => new Closed() });

/** A server that nobody can reach, and what is heard all the same. */
function silent() {
  let watch: ExportWatch | undefined;
  const client = createClient({
    baseUrl: 'http://nowhere.invalid',
    fetch: () => Promise.reject(new TypeError('no network')),
    WebSocket: Refused,
  });
  return {
    hear: (job: ExportJob) => watch?.offer(job),
    watchExport(...args: Parameters<typeof client.watchExport>) {
      watch = client.watchExport(...args);
      return watch;
    },
  };
}

const begin = { job: processing(), patienceMs: 60_000, onState: () => undefined };

describe('following', () => {
  it('tells every change, and ends with the end', async () => {
    const server = silent();
    const told: unknown[] = [];
    const end = followToEnd(server, {
      ...begin,
      signal: new AbortController().signal,
      onState: (job) => told.push(job.progress),
    });
    server.hear(processing({ seq: 1001, progress: 10 }));
    server.hear(processing({ seq: 1002, progress: 20 }));
    server.hear(complete());
    expect(await end).toMatchObject({ status: 'complete' });
    expect([...new Set(told)]).toEqual([0, 10, 20, 100]);
  });

  it('tells when the job came, not when its connection changed', async () => {
    const server = silent();
    const told: unknown[] = [];
    const from = Date.now();
    const stop = new AbortController();
    const end = followToEnd(server, {
      ...begin,
      signal: stop.signal,
      onState: ({ progress }, isLost, heardAt) => told.push([progress, isLost, heardAt - from]),
    });
    await vi.advanceTimersByTimeAsync(2000);
    server.hear(processing({ seq: 1001, progress: 10 }));
    stop.abort(new Interrupted(130, 'Stopped.'));
    await expect(end).rejects.toThrow('Stopped.');
    expect(told).toContainEqual([0, true, 0]);
    expect(told.at(-1)).toEqual([10, true, 2000]);
  });

  it('says that the connection is lost, and gives up when patience ends', async () => {
    const lost: boolean[] = [];
    const end = followToEnd(silent(), {
      ...begin,
      signal: new AbortController().signal,
      onState: (_job, isLost) => lost.push(isLost),
    });
    const failure = end.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(59_000);
    expect(lost.at(-1)).toBe(true);
    await vi.advanceTimersByTimeAsync(2000);
    const error = await failure;
    expect(error).toBeInstanceOf(CliError);
    expect(error).toMatchObject({ exit: EXIT.unreachable });
    expect(vi.getTimerCount()).toBe(0);
  });

  it('stops at once when it is interrupted', async () => {
    const stop = new AbortController();
    const end = followToEnd(silent(), { ...begin, signal: stop.signal });
    const reason = new Interrupted(130, 'Stopped.');
    stop.abort(reason);
    await expect(end).rejects.toBe(reason);
    const late = followToEnd(silent(), { ...begin, signal: stop.signal });
    await expect(late).rejects.toBe(reason);
  });

  it('passes on that the job may not be watched', async () => {
    const refused = { type: 'x', title: 'no', status: 403, code: 'forbidden', retryable: false };
    const client = createClient({
      baseUrl: 'http://nowhere.invalid',
      fetch: async () => Response.json(refused, { status: 403 }),
      WebSocket: Refused,
    });
    const end = followToEnd(client, { ...begin, signal: new AbortController().signal });
    const failure = end.catch((error: unknown) => error);
    await vi.advanceTimersByTimeAsync(30_000);
    expect(await failure).toBeInstanceOf(ExportApiError);
  });
});
