import { afterEach, describe, expect, it, vi } from 'vitest';
import type { ExportJob } from '@export-jobs/protocol';
import { FeedLog } from '../test/feed-log.ts';
import { complete, message, reportOf, running, waiting } from '../test/jobs.ts';
import { json, problem, viewerServer, type Handlers } from '../test/viewer-server.ts';
import { soon } from '../test/soon.ts';
import { createClient, type ClientConfig } from './client.ts';
import { watchExports, type ExportsOptions, type ExportsState } from './feed.ts';
import type { Timing } from './timing.ts';

const NEVER = 60_000;
const QUICK: Partial<Timing> = {
  backoffMin: 4,
  backoffMax: 32,
  uptime: 100,
  connect: 500,
  greeting: 500,
  ping: 100,
  pong: 300,
  failures: 2,
  better: NEVER,
  wait: 1,
  poll: 10,
  request: 2000,
};

/** A job by its name and its age; the greater, the newer. */
const job = (id: string, created_at: number, as: ExportJob = running(1000, 0)): ExportJob => ({
  ...as,
  id,
  created_at,
});

async function watching(
  handlers: Handlers,
  options: ExportsOptions = {},
  config: Omit<ClientConfig, 'baseUrl'> = {},
) {
  const server = await viewerServer(handlers);
  const timing = { ...QUICK, ...config.timing };
  const client = createClient({ ...config, baseUrl: server.baseUrl, timing });
  const watch = watchExports(client, options);
  const seen: ExportsState[] = [];
  const stop = watch.subscribe(() => seen.push(watch.getSnapshot()));
  const dispose = async () => {
    stop();
    await server[Symbol.asyncDispose]();
  };
  const on = (connection: ExportsState['connection']) =>
    soon(() => expect(watch.getSnapshot().connection).toBe(connection));
  const shows = (...ids: string[]) =>
    soon(() => expect(watch.getSnapshot().jobs.map(({ id }) => id)).toEqual(ids));
  return { server, client, watch, seen, stop, on, shows, [Symbol.asyncDispose]: dispose };
}

afterEach(() => vi.unstubAllGlobals());

describe('one socket for all exports', () => {
  it('shows what has not ended, then each change, newest first', async () => {
    const log = new FeedLog();
    for (const it of [job('old', 1), job('done', 2, complete(4000)), job('new', 3)]) log.say(it);
    await using it = await watching(log.handlers);
    await it.on('live');
    await it.shows('new', 'old');
    log.say(job('newest', 4, waiting(1000)));
    await it.shows('newest', 'new', 'old');
    log.say(job('old', 1, complete(5000)));
    await soon(() => expect(it.watch.get('old')?.status).toBe('complete'));
    await it.shows('newest', 'new', 'old');
    expect([it.server.dials(), it.watch.getSnapshot().stale]).toEqual([1, false]);
    expect(it.watch.get('nobody')).toBeNull();
  });

  it('moves a job that reports, and leaves the others and what has not changed the same', async () => {
    const log = new FeedLog();
    for (const it of [job('a', 1), job('b', 2)]) log.say(it);
    await using it = await watching(log.handlers);
    await it.on('live');
    const before = it.watch.getSnapshot();
    expect(it.watch.getSnapshot()).toBe(before);
    log.report(job('a', 1, running(1420, 42)));
    await soon(() => expect(it.watch.get('a')?.progress).toBe(42));
    const after = it.watch.getSnapshot();
    expect(after.jobs).not.toBe(before.jobs);
    expect(after.jobs[0]).toBe(before.jobs[0]);
    log.cut();
    await soon(() =>
      expect(it.seen.find(({ connection }) => connection === 'reconnecting')?.jobs).toBe(
        after.jobs,
      ),
    );
  });

  it('lets a job that was deleted go, and takes it back from no list that was read before', async () => {
    const log = new FeedLog();
    const [kept, gone] = [job('kept', 1), job('gone', 2, complete(3000))];
    log.say(kept);
    await using it = await watching(log.handlers, { initial: [gone] });
    await it.on('live');
    await it.shows('gone', 'kept');
    expect(it.watch.getSnapshot().deleted).toEqual(new Set());
    log.tell({ type: 'deleted', job_id: 'gone' });
    await it.shows('kept');
    it.watch.offer([gone]);
    await it.shows('kept');
    expect(it.watch.get('gone')).toBeNull();
    it.watch.forget('kept');
    expect(it.watch.getSnapshot()).toMatchObject({ jobs: [], deleted: new Set(['gone', 'kept']) });
  });

  it('takes several messages in one frame, in their order', async () => {
    const log = new FeedLog();
    const [one, two] = [job('one', 1, running(1000, 5)), job('two', 2, running(1000, 5))];
    await using it = await watching(log.handlers);
    await it.on('live');
    const before = it.seen.length;
    log.tell({
      type: 'batch',
      messages: [
        message(one),
        message(two),
        reportOf(job('one', 1, running(1100, 10))),
        { type: 'deleted', job_id: 'two' },
      ],
    });
    await it.shows('one');
    expect(it.watch.get('one')?.progress).toBe(10);
    expect(it.watch.getSnapshot().deleted).toEqual(new Set(['two']));
    expect(it.seen.length - before).toBe(1);
  });

  it('lets go of what was deleted unheard, once it reads the list where that is missing', async () => {
    const log = new FeedLog();
    log.ways.socket = false;
    for (const n of [1, 2, 3]) log.note(job(`done-${n}`, n, complete(3000)));
    const initial = [
      job('deleted', 2.5, complete(3000)),
      job('older than the list', 0, complete(1)),
    ];
    await using it = await watching(log.handlers, { initial });
    await it.on('polling');
    await it.shows('done-3', 'done-2', 'done-1', 'older than the list');
  });

  it('drops what comes late, twice, or of no job that it knows', async () => {
    const log = new FeedLog();
    log.say(job('a', 1));
    await using it = await watching(log.handlers);
    await it.on('live');
    log.report(job('a', 1, running(1500, 50)));
    for (const late of [running(1300, 30), running(1500, 50)]) log.report(job('a', 1, late));
    log.tell(message(job('a', 1, waiting(900))));
    log.report(job('stranger', 9, running(1999, 99)));
    log.tell('not a message');
    log.tell({ type: 'ready' });
    log.say(job('b', 2));
    await it.shows('b', 'a');
    expect(it.watch.get('a')).toMatchObject({ progress: 50, seq: 1500, status: 'processing' });
    const progress = it.seen.flatMap(({ jobs }) => jobs.find(({ id }) => id === 'a') ?? []);
    expect(new Set(progress.map((a) => a.progress))).toEqual(new Set([0, 50]));
    log.say(job('a', 1, complete(2000)));
    log.tell(message(job('a', 1, running(3000, 1))));
    log.say(job('c', 3));
    await it.shows('c', 'b', 'a');
    expect(it.watch.get('a')?.status).toBe('complete');
  });

  it('asks for a token of the feed before each dial, and never puts it into the address', async () => {
    const asked: unknown[] = [];
    const offered: string[][] = [];
    const log = new FeedLog();
    const handlers: Handlers = {
      ...log.handlers,
      socket: (socket, dial) => {
        offered.push(socket.protocols);
        log.handlers.socket?.(socket, dial);
      },
    };
    const getToken: ClientConfig['getToken'] = (...what) => `token-${asked.push(what)}`;
    await using it = await watching(handlers, {}, { getToken, timing: { uptime: 0 } });
    await it.on('live');
    log.cut();
    await soon(() => expect(it.server.dials()).toBe(2));
    await it.on('live');
    expect(asked).toEqual([
      [null, 'feed'],
      [null, 'feed'],
    ]);
    expect(offered).toEqual([
      ['export.v1', 'bearer.token-1'],
      ['export.v1', 'bearer.token-2'],
    ]);
    expect(log.asked.join(' ')).not.toContain('token');
  });

  it('shares one dial among its listeners, and hangs up with 1000 after the last one', async () => {
    const code = Promise.withResolvers<number | null>();
    const log = new FeedLog();
    const handlers: Handlers = {
      socket: (socket, dial) => {
        log.handlers.socket?.(socket, dial);
        socket.closed.then(code.resolve, code.reject);
      },
    };
    await using it = await watching(handlers);
    const other = it.watch.subscribe(() => undefined);
    await it.on('live');
    it.stop();
    const third = it.watch.subscribe(() => undefined);
    other();
    await new Promise((resolve) => setImmediate(resolve));
    expect([it.server.dials(), log.viewers, it.watch.getSnapshot().connection]).toEqual([
      1,
      1,
      'live',
    ]);
    third();
    expect(await code.promise).toBe(1000);
    expect(it.watch.getSnapshot().connection).toBe('idle');
  });

  it('is stopped by an abort, which ends what iterates', async () => {
    const log = new FeedLog();
    log.say(job('a', 1));
    const abort = new AbortController();
    let sockets = 0;
    class Counted extends WebSocket {
      constructor(...how: ConstructorParameters<typeof WebSocket>) {
        super(...how);
        sockets += 1;
      }
    }
    const { signal } = abort;
    await using it = await watching(log.handlers, { signal }, { WebSocket: Counted });
    const counts: number[] = [];
    for await (const { connection, jobs } of it.watch) {
      counts.push(jobs.length);
      if (connection === 'live') abort.abort();
    }
    expect(counts.at(-1)).toBe(1);
    await soon(() => expect(log.viewers).toBe(0));
    expect(it.watch.getSnapshot().connection).toBe('idle');
    it.watch.subscribe(() => undefined);
    await it.client.listExports();
    expect(sockets).toBe(1);
  });
});

describe('a filter', () => {
  it('of a tag is asked of the server; one of a status is not, and a job that leaves it leaves', async () => {
    const log = new FeedLog();
    const tagged = (id: string, age: number, as?: ExportJob) => ({
      ...job(id, age, as),
      tags: ['mine'],
    });
    for (const it of [tagged('a', 1), tagged('b', 2), job('other', 3)]) log.say(it);
    await using it = await watching(log.handlers, { tag: 'mine', status: 'processing' });
    await it.on('live');
    await it.shows('b', 'a');
    expect(log.asked).toEqual(['/api/feed?batch=1&tag=mine']);
    log.say(tagged('b', 2, waiting(2000, 2)));
    await it.shows('a');
    expect(it.watch.get('b')?.status).toBe('pending');
    log.say(tagged('b', 2, running(3000, 0, 2)));
    await it.shows('b', 'a');
    log.say(tagged('a', 1, complete(5000)));
    await it.shows('b');
    it.watch.offer([job('other', 3)]);
    await it.shows('b');
  });

  it('does not tell of what it does not show', async () => {
    const log = new FeedLog();
    log.say(job('a', 1));
    await using it = await watching(log.handlers, { status: 'pending' });
    await it.on('live');
    const told = it.seen.length;
    log.report(job('a', 1, running(1500, 50)));
    await soon(() => expect(it.watch.get('a')?.progress).toBe(50));
    expect(it.seen).toHaveLength(told);
  });
});

describe('what happened while it was away', () => {
  it('is told on its return by the cursor, what ended too', async () => {
    const log = new FeedLog();
    for (const it of [job('a', 1), job('b', 2)]) log.say(it);
    await using it = await watching(log.handlers);
    await it.on('live');
    log.cut();
    log.note(job('a', 1, complete(3000)));
    log.note(job('short', 3, complete(4000)));
    await it.on('live');
    await it.shows('short', 'b', 'a');
    expect(it.watch.get('a')?.status).toBe('complete');
    expect(log.asked).toEqual(['/api/feed?batch=1', `/api/feed?batch=1&since=${log.start + 3}`]);
    expect(it.seen.some(({ connection, stale }) => connection === 'reconnecting' && stale)).toBe(
      true,
    );
  });

  it('is told to who comes with a list, from the last change in it on', async () => {
    const log = new FeedLog();
    const listed = [log.note(job('a', 1)), log.note(job('b', 2))];
    log.note(job('a', 1, complete(3000)));
    log.note(job('c', 3, complete(3000)));
    await using it = await watching(log.handlers, { initial: listed });
    expect(it.watch.getSnapshot().jobs.map(({ id }) => id)).toEqual(['b', 'a']);
    await it.on('live');
    await it.shows('c', 'b', 'a');
    expect(log.asked).toEqual([`/api/feed?batch=1&since=${log.start + 2}`]);
    expect(it.watch.get('a')?.status).toBe('complete');
  });

  it('is asked for when a list that was read before comes late, back to the job in doubt', async () => {
    const log = new FeedLog();
    const listed = log.note(job('old', 1));
    log.note(job('old', 1, complete(3000)));
    for (let n = 2; n < 160; n += 1) log.note(job(`job-${n}`, n, complete(3000)));
    await using it = await watching(log.handlers);
    await it.on('live');
    expect(log.asked).toEqual(['/api/feed?batch=1']);
    it.watch.offer([listed]);
    expect(it.watch.get('old')?.status).toBe('processing');
    await soon(() => expect(it.watch.get('old')?.status).toBe('complete'));
    expect(log.lists).toEqual(['/api/jobs?limit=100', '/api/jobs?limit=100&cursor=100']);
    it.watch.offer([job('old', 1)]);
    log.say(job('last', 999));
    await soon(() => expect(it.watch.get('last')).not.toBeNull());
    expect(log.lists).toHaveLength(2);
  });

  it('is told from the newest cursor on, which moves while it is connected', async () => {
    const log = new FeedLog();
    log.say(job('a', 1));
    await using it = await watching(log.handlers);
    await it.on('live');
    log.say(job('b', 2, complete(3000)));
    const cursor = log.ready();
    log.say(job('c', 3));
    await soon(() => expect(it.watch.get('c')).not.toBeNull());
    log.cut();
    await soon(() => expect(it.server.dials()).toBe(2));
    await it.on('live');
    expect(log.asked.at(-1)).toBe(`/api/feed?batch=1&since=${cursor}`);
  });

  it('is told from the last change on of a job that is watched, and that is no older than a day', async () => {
    const log = new FeedLog();
    const mine = { ...log.note({ ...job('a', 1), tags: ['mine'] }) };
    const other = log.note(job('b', 2));
    await using it = await watching(log.handlers, { tag: 'mine', initial: [mine, other] });
    await it.on('live');
    expect(log.asked).toEqual([`/api/feed?batch=1&tag=mine&since=${mine.updated_at}`]);
    const old = { ...job('old', 1, complete(3000)), updated_at: log.start - 25 * 3600_000 };
    const again = new FeedLog();
    await using later = await watching(again.handlers, { initial: [old] });
    await later.on('live');
    expect(again.asked).toEqual(['/api/feed?batch=1']);
    await later.shows('old');
  });

  it('is not asked for when a job is offered that is newer than all that was told', async () => {
    const log = new FeedLog();
    await using it = await watching(log.handlers);
    await it.on('live');
    it.watch.offer([log.note(job('fresh', 1, waiting(1000)))]);
    await it.shows('fresh');
    for (let n = 0; n < 2; n += 1) await it.client.listExports();
    expect(log.lists).toEqual(['/api/jobs?', '/api/jobs?']);
  });

  it('is asked for when a report tells of a job, or of a change, that was not told', async () => {
    const log = new FeedLog();
    log.say(job('a', 1, waiting(1000)));
    await using it = await watching(log.handlers);
    await it.on('live');
    log.note(job('new', 2, running(2000, 0)));
    log.report(job('new', 2, running(2300, 30)));
    await it.shows('new', 'a');
    log.note(job('a', 1, running(2000, 0)));
    await soon(() => {
      log.report(job('a', 1, running(2400, 40)));
      expect(it.watch.get('a')).toMatchObject({ status: 'processing', progress: 40 });
    });
  });

  it('is asked for once in a while only, however many reports tell that it was missed', async () => {
    const log = new FeedLog();
    await using it = await watching(log.handlers, {}, { timing: { poll: NEVER } });
    await it.on('live');
    for (let n = 1; n < 50; n += 1) log.report(job('on no list', 1, running(1000 + n, n)));
    log.say(job('last', 2));
    await it.shows('last');
    for (let n = 0; n < 2; n += 1) await it.client.listExports();
    expect(log.lists).toEqual(['/api/jobs?limit=100', '/api/jobs?', '/api/jobs?']);
  });

  it('is remembered of so many ended jobs as are to be kept though none of them is shown', async () => {
    const log = new FeedLog();
    await using it = await watching(log.handlers, { keep: 2, status: 'pending' });
    await it.on('live');
    for (let n = 2; n < 7; n += 1) log.say(job(`done-${n}`, n, complete(3000)));
    await soon(() => expect(it.watch.get('done-6')).not.toBeNull());
    const kept = [2, 3, 4, 5, 6].filter((n) => it.watch.get(`done-${n}`) !== null);
    expect(kept).toEqual([5, 6]);
  });

  it('is remembered of so many ended jobs as are to be kept, and of all that go on', async () => {
    const log = new FeedLog();
    log.say(job('goes on', 1));
    await using it = await watching(log.handlers, { keep: 2 });
    await it.on('live');
    for (let n = 2; n < 7; n += 1) log.say(job(`done-${n}`, n, complete(3000)));
    await it.shows('done-6', 'done-5', 'goes on');
    expect(it.watch.get('done-2')).toBeNull();
  });

  it('renews the links of what has ended', async () => {
    const log = new FeedLog();
    await using it = await watching(log.handlers, { initial: [job('a', 1, complete(3000))] });
    await it.on('live');
    it.watch.offer([Object.assign(job('a', 1, complete(3000)), { output_url: '/fresh' })]);
    expect(it.watch.get('a')).toMatchObject({ output_url: '/fresh' });
  });
});

describe('faults', () => {
  it('replaces a half-open socket, which answers no ping', async () => {
    const log = new FeedLog();
    log.say(job('a', 1));
    await using it = await watching({ ...log.handlers, pong: false });
    await it.on('live');
    await soon(() => expect(it.server.dials()).toBeGreaterThan(1));
    await it.on('live');
    await it.shows('a');
  });

  it('is not live before all is told, and dials again when that stops in the middle', async () => {
    const log = new FeedLog();
    log.say(job('a', 1));
    await using it = await watching({
      ...log.handlers,
      socket: (socket, dial) => {
        if (dial > 1) return log.handlers.socket?.(socket, dial);
        socket.send(message(job('half', 2)));
        setTimeout(() => socket.close(1011), 30);
      },
    });
    await it.on('live');
    await it.shows('half', 'a');
    const half = it.seen.filter(({ jobs }) => jobs.length === 1);
    expect(half.length).toBeGreaterThan(0);
    expect(half.map(({ connection }) => connection)).not.toContain('live');
    expect(it.server.dials()).toBe(2);
  });

  it('ends with the typed error when the token is refused, after one plain GET', async () => {
    const asked: unknown[] = [];
    await using it = await watching(
      {
        refuse: () => 401,
        http(request, _body, response) {
          asked.push(request.url, request.headers.authorization);
          json(response, 401, problem('unauthorized', 401));
        },
      },
      { tag: 'mine' },
      { getToken: () => 'wrong' },
    );
    const watched = (async () => {
      for await (const state of it.watch) expect(state.error).toBeNull();
    })();
    await expect(watched).rejects.toMatchObject({ name: 'ExportApiError', code: 'unauthorized' });
    expect(it.watch.getSnapshot()).toMatchObject({ connection: 'closed', stale: true, jobs: [] });
    expect(asked).toEqual(['/api/feed?batch=1&tag=mine', 'Bearer wrong']);
    // Node's own sockets repeat what was answered with 401.
    expect(it.server.dials()).toBeLessThanOrEqual(2);
  });

  it('reads the list where no socket gets through, and climbs back without losing anything', async () => {
    const log = new FeedLog();
    log.ways.socket = false;
    for (const it of [job('a', 1), job('b', 2)]) log.say(it);
    const purposes = new Set<string>();
    const getToken: ClientConfig['getToken'] = (_job, purpose) => void purposes.add(purpose);
    await using it = await watching(log.handlers, {}, { getToken, timing: { better: 40 } });
    await it.on('polling');
    await it.shows('b', 'a');
    expect(it.watch.getSnapshot()).toMatchObject({ via: 'poll', stale: false });
    log.note(job('a', 1, complete(3000)));
    log.note(job('c', 3));
    await it.shows('c', 'b', 'a');
    await soon(() => expect(it.watch.get('a')?.status).toBe('complete'));
    expect(purposes).toEqual(new Set(['call', 'feed']));
    log.note(job('b', 2, complete(3000)));
    log.ways.socket = true;
    await it.on('live');
    await soon(() => expect(it.watch.get('b')?.status).toBe('complete'));
    log.say(job('d', 4));
    await it.shows('d', 'c', 'b', 'a');
    // One that was on its way may still arrive; polls go on for ever.
    await soon(async () => {
      const { length } = log.lists;
      await new Promise((resolve) => setTimeout(resolve, 150));
      expect(log.lists).toHaveLength(length);
    });
    expect(it.seen.every(({ error }) => error === null)).toBe(true);
  });

  it('waits longer for the first word of the feed than for that of a job', async () => {
    const log = new FeedLog();
    log.say(job('a', 1));
    const handlers: Handlers = {
      ...log.handlers,
      socket: (socket, dial) => setTimeout(() => log.handlers.socket?.(socket, dial), 300),
    };
    await using it = await watching(handlers, {}, { timing: { greeting: 150 } });
    await it.on('live');
    expect(it.server.dials()).toBe(1);
  });

  it('reads one page of the list each time, and goes back to the job in doubt now and then', async () => {
    const log = new FeedLog();
    log.ways.socket = false;
    const initial = [log.note(job('old', 1))];
    for (let n = 2; n < 160; n += 1) log.note(job(`job-${n}`, n, complete(3000)));
    await using it = await watching(log.handlers, { initial });
    await it.on('polling');
    log.note(job('old', 1, complete(3000)));
    await soon(() => expect(it.watch.get('old')?.status).toBe('complete'));
    const isFurther = (url: string) => url.includes('cursor=');
    const further = log.lists.filter(isFurther).length;
    expect(further).toBe(2);
    expect(log.lists.length - further).toBeGreaterThanOrEqual(11);
  });

  it('begins with the list in a runtime without sockets', async () => {
    vi.stubGlobal('WebSocket', undefined);
    const log = new FeedLog();
    log.say(job('a', 1));
    await using it = await watching(log.handlers);
    await it.on('polling');
    await it.shows('a');
    expect(it.server.dials()).toBe(0);
  });

  it('goes on trying the socket when the token is good for the feed alone', async () => {
    const log = new FeedLog();
    log.ways.socket = false;
    log.say(job('a', 1));
    const handlers: Handlers = {
      ...log.handlers,
      http(request, body, response) {
        if (request.headers.authorization === 'Bearer feed') {
          return log.handlers.http?.(request, body, response);
        }
        log.asked.push(request.url ?? '');
        json(response, 401, problem('unauthorized', 401));
      },
    };
    const getToken: ClientConfig['getToken'] = (_job, purpose) =>
      purpose === 'feed' ? 'feed' : null;
    await using it = await watching(handlers, {}, { getToken });
    await soon(() => expect(log.asked).toContain('/api/jobs?limit=100'));
    log.ways.socket = true;
    await it.on('live');
    await it.shows('a');
    expect(it.seen.every(({ error }) => error === null)).toBe(true);
  });

  it('a network that returns is dialled at once instead of after the back-off', async () => {
    const events = new EventTarget();
    vi.stubGlobal('addEventListener', events.addEventListener.bind(events));
    const log = new FeedLog();
    const timing = { uptime: NEVER, backoffMin: NEVER, backoffMax: NEVER };
    await using it = await watching(log.handlers, {}, { timing });
    await it.on('live');
    log.cut();
    await it.on('reconnecting');
    events.dispatchEvent(new Event('online'));
    await it.on('live');
    expect(it.server.dials()).toBe(2);
  });
});
