import { afterEach, describe, expect, it, vi } from 'vitest';
import { JobLog } from '../test/job-log.ts';
import { complete, message, running, waiting } from '../test/jobs.ts';
import { json, problem, viewerServer, type Handlers } from '../test/viewer-server.ts';
import { soon } from '../test/soon.ts';
import { createClient } from './client.ts';
import type { Timing } from './timing.ts';
import type { WatchState } from './watch.ts';

// What a viewer sees when a network lets only some of the ways through: the same job.

const NEVER = 60_000;
const QUICK: Partial<Timing> = {
  backoffMin: 2,
  backoffMax: 20,
  uptime: 50,
  connect: 500,
  greeting: 200,
  ping: 60,
  pong: 60,
  failures: 2,
  better: NEVER,
  wait: 1,
  poll: 5,
  request: 2000,
};

async function watching(handlers: Handlers, timing: Partial<Timing> = {}) {
  const server = await viewerServer(handlers);
  const client = createClient({
    baseUrl: server.baseUrl,
    getToken: () => 'ej1.k1.abc',
    timing: { ...QUICK, ...timing },
  });
  const watch = client.watchExport('job-1');
  const seen: WatchState[] = [];
  const stop = watch.subscribe(() => seen.push(watch.getSnapshot()));
  const via = (way: WatchState['via']) =>
    soon(() => expect(watch.getSnapshot().via).toBe(way), { interval: 2 });
  const dispose = async () => {
    stop();
    await server[Symbol.asyncDispose]();
  };
  return { server, watch, seen, via, stop, [Symbol.asyncDispose]: dispose };
}

/** The changes of state that a viewer saw: each once, however often it was shown. */
function changesOf(states: WatchState[]): string[] {
  const all = states.flatMap(({ job }) => (job ? [`${job.attempt} ${job.status}`] : []));
  return all.filter((change, i) => change !== all[i - 1]);
}

function stubEvents(): EventTarget {
  const events = new EventTarget();
  vi.stubGlobal('addEventListener', events.addEventListener.bind(events));
  return events;
}

afterEach(() => {
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

describe('where no socket gets through', () => {
  it('server-sent events carry the job, live, with the token in a header', async () => {
    const log = new JobLog({ socket: false });
    log.say(running(1000, 5));
    await using it = await watching(log.handlers);
    await it.via('stream');
    expect(it.watch.getSnapshot()).toMatchObject({ connection: 'live', stale: false });
    log.say(running(2000, 50));
    await soon(() => expect(it.watch.getSnapshot().job?.progress).toBe(50));
    log.say(complete(3000));
    expect((await it.watch.result()).status).toBe('complete');
    expect([...log.credentials]).toEqual(['Bearer ej1.k1.abc']);
    expect(log.asked.join(' ')).not.toContain('ej1.k1.abc');
    await soon(() => expect(log.watchers).toBe(0));
    expect(it.server.streams()).toBe(1);
  });

  it('a runtime without sockets begins with the stream', async () => {
    vi.stubGlobal('WebSocket', undefined);
    const log = new JobLog();
    log.say(running(1000, 5));
    await using it = await watching(log.handlers);
    await it.via('stream');
    expect([it.server.dials(), it.server.streams()]).toEqual([0, 1]);
  });

  it('a stream that is cut in the middle of an event goes on with the last whole one', async () => {
    const urls: string[] = [];
    await using it = await watching({
      refuse: () => 502,
      http: (_request, _body, response) => json(response, 200, { job: running(1000, 5) }),
      stream(stream, dial) {
        urls.push(stream.url);
        stream.write(': \n\n');
        if (dial > 1) return stream.send(message(complete(4000)));
        stream.send(message(running(2000, 20)));
        const cut = JSON.stringify(message(running(3000, 60)));
        stream.write(`id: 3000\ndata: ${cut.slice(0, 40)}`);
        setTimeout(() => stream.cut(), 60);
      },
    });
    await it.watch.result();
    expect(urls).toEqual([
      '/api/jobs/job-1/stream?since=1000',
      '/api/jobs/job-1/stream?since=2000',
    ]);
    expect(it.seen.some(({ job }) => job?.seq === 3000)).toBe(false);
  });

  it('an event may come in pieces, its letters too', async () => {
    await using it = await watching({
      refuse: () => 502,
      http: (_request, _body, response) => json(response, 200, { job: running(1000, 5) }),
      stream(stream) {
        const job = { ...complete(2000), filename: 'Öl 🎬.mp4' };
        const bytes = Buffer.from(`id: 2000\ndata: ${JSON.stringify(message(job))}\n\n`);
        let at = 0;
        const next = () => {
          stream.write(bytes.subarray(at, (at += 1)));
          if (at < bytes.length) setImmediate(next);
        };
        next();
      },
    });
    expect((await it.watch.result()).filename).toBe('Öl 🎬.mp4');
  });

  it('a stream that falls silent is replaced, and comments are enough to keep it', async () => {
    const log = new JobLog({ socket: false });
    log.say(running(1000, 5));
    const beats: ReturnType<typeof setInterval>[] = [];
    await using it = await watching({
      ...log.handlers,
      stream(stream, dial) {
        log.handlers.stream?.(stream, dial);
        if (dial > 1) beats.push(setInterval(() => stream.write(': \n\n'), 20));
      },
    });
    await soon(() => expect(it.server.streams()).toBe(2));
    const { ping = 0, pong = 0 } = QUICK;
    await new Promise((resolve) => setTimeout(resolve, 3 * (ping + pong)));
    beats.forEach(clearInterval);
    expect(it.server.streams()).toBe(2);
    expect(it.watch.getSnapshot()).toMatchObject({ via: 'stream' });
  });

  it('204 leads to one look, which finds the end', async () => {
    let looks = 0;
    await using it = await watching({
      refuse: () => 502,
      http(request, _body, response) {
        if (request.url?.includes('/stream')) return void response.writeHead(204).end();
        looks += 1;
        json(response, 200, { job: it.server.streams() === 0 ? running(1000, 5) : complete(1000) });
      },
    });
    expect((await it.watch.result()).status).toBe('complete');
    expect([it.server.streams(), looks]).toEqual([1, 3]);
  });
});

describe('where nothing stays open', () => {
  it('long polls bring every change, each from where the last one ended', async () => {
    const log = new JobLog({ socket: false, stream: false });
    log.say(waiting(1000));
    await using it = await watching(log.handlers);
    await it.via('poll');
    expect(it.watch.getSnapshot()).toMatchObject({ connection: 'polling', stale: false });
    await soon(() => expect(log.watchers).toBe(1));
    log.say(running(2000, 0));
    log.say(waiting(3000, 2));
    log.say(running(4000, 0, 2));
    await soon(() => expect(it.watch.getSnapshot().job?.seq).toBe(4000));
    await soon(() => expect(log.watchers).toBe(1));
    log.say(complete(5000));
    await it.watch.result();
    expect(changesOf(it.seen)).toEqual([
      '1 pending',
      '1 processing',
      '2 pending',
      '2 processing',
      '1 complete',
    ]);
    expect(log.asked.at(-1)).toBe('/api/jobs/job-1?since=4000&wait=1');
    expect([...log.credentials]).toEqual(['Bearer ej1.k1.abc']);
  });

  it('a proxy that keeps events back is not taken for a stream', async () => {
    const log = new JobLog({ socket: false });
    log.say(running(1000, 5));
    await using it = await watching({ ...log.handlers, stream: () => undefined }, { greeting: 20 });
    await it.via('poll');
  });

  it('a proxy that refuses the stream in its own words does not end the watch', async () => {
    const log = new JobLog({ socket: false });
    log.say(running(1000, 5));
    const { stream: _stream, ...others } = log.handlers;
    await using it = await watching({
      ...others,
      http(request, body, response) {
        if (request.url?.includes('/stream')) response.writeHead(403).end('<h1>Blocked</h1>');
        else others.http?.(request, body, response);
      },
    });
    await it.via('poll');
    log.say(complete(2000));
    await it.watch.result();
  });

  it('a poll that is never answered is given up and asked again', async () => {
    const log = new JobLog({ socket: false, stream: false });
    log.say(running(1000, 5));
    let polls = 0;
    await using it = await watching(
      {
        ...log.handlers,
        http(request, body, response) {
          if (request.url?.includes('wait=1') && (polls += 1) === 1) return;
          log.handlers.http?.(request, body, response);
        },
      },
      { request: 100 },
    );
    await soon(() => expect(polls).toBe(2));
    await it.via('poll');
  });

  it('a refusal for good ends it with the typed error, and nothing is dialled after it', async () => {
    const log = new JobLog({ socket: false, stream: false });
    log.say(running(1000, 5));
    let gone = false;
    const handlers: Handlers = {
      ...log.handlers,
      http(request, body, response) {
        if (gone) json(response, 401, problem('unauthorized', 401));
        else log.handlers.http?.(request, body, response);
      },
    };
    await using it = await watching(handlers, { better: 20 });
    await it.via('poll');
    await soon(() => expect(log.watchers).toBe(1));
    gone = true;
    log.cut();
    await expect(it.watch.result()).rejects.toMatchObject({ code: 'unauthorized', status: 401 });
    expect(it.watch.getSnapshot()).toMatchObject({ connection: 'closed', via: null, stale: true });
    // Tries that were on their way may still arrive; at the pace of before there would be some each time.
    await soon(async () => {
      const dials = it.server.dials();
      await new Promise((resolve) => setTimeout(resolve, 100));
      expect(it.server.dials()).toBe(dials);
    });
  });
});

describe('the way back up', () => {
  it.each(['stream', 'poll'] as const)('from %s to the socket, without a gap', async (from) => {
    const log = new JobLog({ socket: false, stream: from === 'stream' });
    log.say(running(1000, 5));
    await using it = await watching(log.handlers, { better: 40 });
    await it.via(from);
    const before = it.seen.length;
    Object.assign(log.ways, { socket: true, stream: true });
    await it.via('socket');
    await soon(() => expect(log.watchers).toBe(1));
    log.say(running(2000, 50));
    await soon(() => expect(it.watch.getSnapshot().job?.seq).toBe(2000));
    expect(it.watch.getSnapshot()).toMatchObject({ connection: 'live', via: 'socket' });
    expect(it.seen.slice(before).some(({ stale }) => stale)).toBe(false);
  });

  it('a stream that speaks after the socket is let go', async () => {
    const log = new JobLog({ socket: false, stream: false });
    log.say(running(1000, 5));
    const late: (() => void)[] = [];
    const handlers: Handlers = {
      ...log.handlers,
      stream(stream, dial) {
        if (log.ways.stream) late.push(() => log.handlers.stream?.(stream, dial));
        else stream.cut();
      },
    };
    await using it = await watching(handlers, { better: 40, greeting: NEVER });
    await it.via('poll');
    Object.assign(log.ways, { socket: true, stream: true });
    await it.via('socket');
    await soon(() => expect(late.length).toBeGreaterThan(0));
    for (const speak of late) speak();
    expect(log.watchers).toBeGreaterThan(1);
    await soon(() => expect(log.watchers).toBe(1));
    expect(it.watch.getSnapshot().via).toBe('socket');
  });

  it('trying costs nothing while nothing better gets through', async () => {
    const log = new JobLog({ socket: false });
    log.say(running(1000, 5));
    await using it = await watching(log.handlers, { better: 20, ping: NEVER });
    await it.via('stream');
    const before = it.seen.length;
    const dials = it.server.dials();
    await soon(() => expect(it.server.dials()).toBeGreaterThan(dials + 4));
    expect(it.seen.slice(before)).toEqual([]);
    expect(it.server.streams()).toBe(1);
  });

  it('a cut on every way in turn loses no change of state and repeats none', async () => {
    const log = new JobLog();
    const { ways } = log;
    log.say(waiting(1000));
    await using it = await watching(log.handlers, { better: 40 });
    await it.via('socket');
    ways.socket = false;
    log.cut();
    log.say(running(2000, 0));
    await it.via('stream');
    ways.stream = false;
    log.cut();
    log.say(waiting(3000, 2));
    log.say(running(4000, 0, 2));
    await it.via('poll');
    Object.assign(ways, { socket: true, stream: true });
    await it.via('socket');
    log.cut();
    log.say(waiting(5000, 3));
    log.say(complete(6000));
    await it.watch.result();
    const changes = ['1 pending', '1 processing', '2 pending', '2 processing', '3 pending'];
    expect(changesOf(it.seen)).toEqual([...changes, '1 complete']);
  });
});

describe('waking up', () => {
  // As in a sleep, no timer of the watch runs out: only the event can tell.
  const frozen = { uptime: 1, ping: NEVER, pong: NEVER, request: NEVER, greeting: NEVER };
  /** Longer than `uptime`, so that what ends now was no failure. */
  const settled = () => new Promise((resolve) => setTimeout(resolve, 10));
  const openOnly = (way: 'socket' | 'stream' | 'poll') =>
    new JobLog({ socket: way === 'socket', stream: way !== 'poll' });

  it.each(['socket', 'stream', 'poll'] as const)(
    'a %s that died in its sleep is replaced when the network returns, and catches up',
    async (way) => {
      const events = stubEvents();
      const log = openOnly(way);
      log.say(waiting(1000));
      await using it = await watching(log.handlers, frozen);
      await it.via(way);
      await soon(() => expect(log.watchers).toBe(1));
      await settled();
      log.forget();
      log.say(running(2000, 0));
      log.say(waiting(3000, 2));
      expect(it.watch.getSnapshot().job?.seq).toBe(1000);
      events.dispatchEvent(new Event('online'));
      await soon(() => expect(it.watch.getSnapshot().job?.seq).toBe(3000));
      await it.via(way);
      expect(changesOf(it.seen)).toEqual(['1 pending', '1 processing', '2 pending']);
    },
  );

  it.each([
    ['resume', 0],
    ['visibilitychange', 31_000],
  ])('a page that comes back with %s dials anew', async (type, hiddenMs) => {
    const page = Object.assign(new EventTarget(), { hidden: false });
    vi.stubGlobal('document', page);
    vi.stubGlobal('addEventListener', () => undefined);
    const log = openOnly('stream');
    log.say(waiting(1000));
    await using it = await watching(log.handlers, { ...frozen, hidden: 30_000 });
    await it.via('stream');
    await soon(() => expect(log.watchers).toBe(1));
    await settled();
    const now = Date.now();
    page.hidden = true;
    page.dispatchEvent(new Event('visibilitychange'));
    log.forget();
    log.say(running(2000, 0));
    vi.spyOn(Date, 'now').mockReturnValue(now + hiddenMs);
    page.hidden = false;
    page.dispatchEvent(new Event(type));
    await soon(() => expect(it.watch.getSnapshot().job?.seq).toBe(2000));
    expect(it.server.streams()).toBe(2);
  });

  it('a page that was hidden for a moment only asks whether its socket lives', async () => {
    const page = Object.assign(new EventTarget(), { hidden: false });
    vi.stubGlobal('document', page);
    vi.stubGlobal('addEventListener', () => undefined);
    const log = openOnly('socket');
    log.say(waiting(1000));
    await using it = await watching({ ...log.handlers, pong: false }, { ...frozen, pong: 50 });
    await it.via('socket');
    page.dispatchEvent(new Event('visibilitychange'));
    expect(it.watch.getSnapshot().connection).toBe('live');
    await soon(() => expect(it.server.dials()).toBe(2));
  });

  it('a browser without a network is shown as offline', async () => {
    vi.stubGlobal('navigator', { onLine: false });
    const log = new JobLog({ socket: false, stream: false, poll: false });
    await using it = await watching(log.handlers);
    await soon(() => expect(it.watch.getSnapshot().connection).toBe('offline'));
  });
});
