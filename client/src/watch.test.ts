import { afterEach, describe, expect, it, vi } from 'vitest';
import { cancelled, complete, message, reportOf, running, waiting } from '../test/jobs.ts';
import { json, problem, viewerServer, type Handlers } from '../test/viewer-server.ts';
import { soon } from '../test/soon.ts';
import { createClient } from './client.ts';
import type { WatchState } from './watch.ts';

const QUICK = {
  backoffMin: 4,
  backoffMax: 32,
  uptime: 200,
  connect: 500,
  greeting: 300,
  ping: 40,
  pong: 40,
  poll: 15,
  better: 60,
  wait: 1,
  request: 1000,
  retries: 3,
};

async function watching(handlers: Handlers, config: { token?: string; signal?: AbortSignal } = {}) {
  const server = await viewerServer(handlers);
  const client = createClient({
    baseUrl: server.baseUrl,
    getToken: () => config.token,
    timing: QUICK,
  });
  const watch = client.watchExport('job-1', { signal: config.signal });
  const seen: WatchState[] = [];
  const stop = watch.subscribe(() => seen.push(watch.getSnapshot()));
  const ended = {
    ...server,
    async [Symbol.asyncDispose]() {
      stop();
      await server[Symbol.asyncDispose]();
    },
  };
  return { server: ended, client, watch, seen, stop };
}

/** The progress values that a viewer would have seen, without repeats. */
function progressOf(states: WatchState[]): (number | undefined)[] {
  const all = states.map((state) => state.job?.progress).filter((p) => p !== undefined);
  return all.filter((p, i) => p !== all[i - 1]);
}

afterEach(() => vi.unstubAllGlobals());

describe('a healthy socket', () => {
  it('yields each state and ends after the job', async () => {
    const { server, watch } = await watching({
      socket(socket) {
        for (const job of [waiting(1), running(2, 10), running(3, 60), complete(4)])
          socket.send(message(job));
      },
    });
    await using _ = server;
    const states: string[] = [];
    for await (const { job } of watch) states.push(job?.status ?? 'none');
    expect(states.at(-1)).toBe('complete');
    expect(watch.getSnapshot()).toMatchObject({ connection: 'closed', error: null, stale: false });
  });

  it('hangs up with 1000 after the end and never dials again', async () => {
    const code = Promise.withResolvers<number | null>();
    const { server, watch } = await watching({
      socket(socket) {
        socket.send(message(cancelled(4)));
        socket.closed.then(code.resolve, code.reject);
      },
    });
    await using _ = server;
    expect((await watch.result()).status).toBe('cancelled');
    expect(await code.promise).toBe(1000);
    expect(server.dials()).toBe(1);
  });

  it('offers the token as a second subprotocol, never in the address', async () => {
    const dialled = Promise.withResolvers<{ url: string; protocols: string[] }>();
    const { server } = await watching(
      { socket: (socket) => dialled.resolve(socket) },
      { token: 'ej1.k1.abc' },
    );
    await using _ = server;
    const { url, protocols } = await dialled.promise;
    expect(protocols).toEqual(['export.v1', 'bearer.ej1.k1.abc']);
    expect(url).toBe('/api/jobs/job-1/ws?');
  });

  it('keeps a quiet socket as long as pings are answered', async () => {
    const { server, watch } = await watching({
      socket(socket) {
        socket.send(message(running(1, 5)));
        setTimeout(() => socket.send(message(complete(2))), 300);
      },
    });
    await using _ = server;
    await watch.result();
    expect(server.dials()).toBe(1);
  });
});

describe('faults', () => {
  it('resumes after a cut with the last seq, and shows the end that happened meanwhile', async () => {
    const urls: string[] = [];
    const { server, watch, seen } = await watching({
      socket(socket, dial) {
        urls.push(socket.url);
        if (dial > 1) return socket.send(message(complete(9)));
        socket.send(message(running(5, 50)));
        setTimeout(() => socket.cut(), 20);
      },
    });
    await using _ = server;
    expect((await watch.result()).seq).toBe(9);
    expect(urls).toEqual(['/api/jobs/job-1/ws?', '/api/jobs/job-1/ws?since=5']);
    expect(seen.some((state) => state.connection === 'reconnecting' && state.stale)).toBe(true);
  });

  it('replaces a half-open socket, which answers no ping', async () => {
    const { server, watch } = await watching({
      pong: false,
      socket(socket, dial) {
        socket.send(message(dial === 1 ? running(1, 10) : complete(2)));
      },
    });
    await using _ = server;
    const started = performance.now();
    await watch.result();
    expect(server.dials()).toBe(2);
    expect(performance.now() - started).toBeGreaterThan(QUICK.ping);
  });

  it('gives up a connection that neither opens nor fails', async () => {
    const server = await viewerServer({
      refuse: () => (server.dials() === 1 ? 0 : null),
      http: (_request, _body, response) => json(response, 200, { job: running(1, 1) }),
      socket: (socket) => socket.send(message(complete(2))),
    });
    await using _ = server;
    const timing = { ...QUICK, connect: 50 };
    const watch = createClient({ baseUrl: server.baseUrl, timing }).watchExport('job-1');
    expect((await watch.result()).status).toBe('complete');
    expect(server.dials()).toBe(2);
  });

  it('drops duplicates and late messages, and progress never falls within an attempt', async () => {
    const { server, watch, seen } = await watching({
      socket(socket) {
        socket.send(message(running(2, 20)));
        for (const job of [running(5, 50), running(3, 30), running(5, 50), running(6, 40)])
          socket.send(reportOf(job));
        socket.send({ ...reportOf(running(7, 99)), job_id: 'job-2' });
        socket.send({ type: 'progress', job_id: 'job-1', seq: 7, progress: 99 });
        socket.send({ type: 'pong' });
        socket.send('not a job');
        socket.send(message(waiting(7, 2)));
        socket.send(message(running(8, 10, 2)));
        socket.send(message(complete(9)));
        socket.send(message(running(10, 10)));
      },
    });
    await using _ = server;
    await watch.result();
    expect(progressOf(seen)).toEqual([20, 50, 0, 10, 100]);
    expect(watch.getSnapshot().job?.status).toBe('complete');
  });

  it('ends with the typed error when a socket opens to a job that nobody made, and stays silent', async () => {
    const { server, watch } = await watching({
      socket: () => undefined,
      http: (_request, _body, response) => json(response, 404, problem('job_not_found', 404)),
    });
    await using _ = server;
    await expect(watch.result()).rejects.toMatchObject({ code: 'job_not_found' });
    expect(watch.getSnapshot()).toMatchObject({ connection: 'closed', job: null });
  });

  it('ends with the typed error when an upgrade is refused because there is no such job', async () => {
    const { server, watch } = await watching({
      refuse: () => 404,
      http: (_request, _body, response) => json(response, 404, problem('job_not_found', 404)),
    });
    await using _ = server;
    await expect(watch.result()).rejects.toMatchObject({
      name: 'ExportApiError',
      code: 'job_not_found',
      status: 404,
    });
    expect(watch.getSnapshot()).toMatchObject({ connection: 'closed', job: null });
    expect(server.dials()).toBe(1);
  });

  it('polls where sockets cannot pass, tries them again, and finds the end', async () => {
    let polls = 0;
    const { server, watch, seen } = await watching({
      refuse: () => 502,
      http(_request, _body, response) {
        polls += 1;
        json(response, 200, { job: polls < 14 ? running(polls, polls) : complete(polls) });
      },
    });
    await using _ = server;
    await watch.result();
    expect(seen.some((state) => state.connection === 'polling')).toBe(true);
    expect(server.dials()).toBeGreaterThan(4);
    expect(server.dials()).toBeLessThan(polls);
  });

  it('survives a server that is down for a while', async () => {
    let up = false;
    const { server, watch, seen } = await watching({
      refuse: () => (up ? null : 503),
      http: (_request, _body, response) =>
        json(response, 503, problem('database_unavailable', 503, true)),
      socket: (socket) => socket.send(message(complete(2))),
    });
    await using _ = server;
    const result = watch.result();
    await soon(() => expect(server.dials()).toBeGreaterThan(3));
    up = true;
    await result;
    expect(seen.every((state) => state.error === null)).toBe(true);
  });

  it('does not spin when sockets are accepted and closed at once', async () => {
    const { server, stop } = await watching({
      http: (_request, _body, response) => json(response, 200, { job: running(2, 10) }),
      socket(socket) {
        socket.send(message(running(2, 10)));
        socket.close(1011);
      },
    });
    await using _ = server;
    // Four quick tries, then one at each turn of the ways and at each try of a better one.
    await soon(() => expect(server.dials()).toBeGreaterThan(4));
    const before = server.dials();
    await new Promise((resolve) => setTimeout(resolve, 300));
    stop();
    expect(server.dials() - before).toBeLessThan(25);
  });
});

describe('leaving and waking', () => {
  it('an abort stops watching, closes the socket and leaves the job alone', async () => {
    const closed = Promise.withResolvers<number | null>();
    const calls: string[] = [];
    const abort = new AbortController();
    const { server, watch } = await watching(
      {
        http(request, _body, response) {
          calls.push(request.url ?? '');
          json(response, 200, { job: running(1, 1) });
        },
        socket(socket) {
          socket.send(message(running(1, 1)));
          socket.closed.then(closed.resolve, closed.reject);
        },
      },
      { signal: abort.signal },
    );
    await using _ = server;
    const result = watch.result();
    await soon(() => expect(watch.getSnapshot().connection).toBe('live'));
    abort.abort();
    await expect(result).rejects.toMatchObject({ name: 'AbortError' });
    expect(await closed.promise).toBe(1000);
    expect(calls).toEqual([]);
    expect(watch.getSnapshot().connection).toBe('idle');
  });

  it('leaving and returning within one task keeps the one socket, and the last to leave closes it', async () => {
    const closed = Promise.withResolvers<number | null>();
    const { server, watch, stop } = await watching({
      socket(socket) {
        socket.send(message(running(1, 1)));
        socket.closed.then(closed.resolve, closed.reject);
      },
    });
    await using _ = server;
    stop();
    const back = watch.subscribe(() => undefined);
    await soon(() => expect(watch.getSnapshot().connection).toBe('live'));
    expect(server.dials()).toBe(1);
    back();
    expect(await closed.promise).toBe(1000);
    expect(watch.getSnapshot().connection).toBe('idle');
  });

  it('a network that returns is dialled at once instead of after the back-off', async () => {
    const events = new EventTarget();
    vi.stubGlobal('addEventListener', events.addEventListener.bind(events));
    vi.stubGlobal('removeEventListener', events.removeEventListener.bind(events));
    const server = await viewerServer({
      socket(socket, dial) {
        socket.send(message(dial === 1 ? running(1, 1) : complete(2)));
        if (dial === 1) setTimeout(() => socket.cut(), 10);
      },
    });
    await using _ = server;
    const slow = { ...QUICK, uptime: 1, backoffMin: 60_000, backoffMax: 60_000 };
    const watch = createClient({ baseUrl: server.baseUrl, timing: slow }).watchExport('job-1');
    const result = watch.result();
    await soon(() => expect(watch.getSnapshot().connection).toBe('reconnecting'));
    events.dispatchEvent(new Event('online'));
    expect((await result).status).toBe('complete');
  });
});
