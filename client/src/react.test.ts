import type { ServerResponse } from 'node:http';
import type { ExportJob, JobStatus } from '@export-jobs/protocol';
import { createElement, StrictMode, useEffect, useState, type ReactNode } from 'react';
import type { Root } from 'react-dom/client';
import { renderToString } from 'react-dom/server';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { fakeGlobals } from '../test/dom.ts';
import { FeedLog } from '../test/feed-log.ts';
import { JobLog } from '../test/job-log.ts';
import { cancelled, complete, running, waiting } from '../test/jobs.ts';
import { json, problem, viewerServer, type Handlers } from '../test/viewer-server.ts';
import { soon } from '../test/soon.ts';
import { createClient, type ExportClient } from './client.ts';
import { nextCreateState, type CreateState } from './create-state.ts';
import { listReducer, NO_LIST, onPages } from './list-state.ts';
import { nextEta } from './eta.ts';
import {
  ExportProgress,
  ExportsProvider,
  useCancelExport,
  useExportHistory,
  useExportList,
  useExportJob,
  useExports,
  useTimeLeft,
  useUpload,
  type ExportHistory,
  type ExportList,
  type ExportProgressProps,
  type Upload,
} from './react.ts';
import { sharedFeed, sharedWatch } from './shared.ts';

describe('shared watches', () => {
  it('gives all who watch one job the same watch, per client', () => {
    const client = createClient({ baseUrl: 'http://127.0.0.1' });
    const one = sharedWatch(client, 'a', running(1, 1));
    expect(sharedWatch(client, 'a', undefined)).toBe(one);
    expect(sharedWatch(client, 'b', undefined)).not.toBe(one);
    expect(sharedWatch(createClient(), 'a', undefined)).not.toBe(one);
  });
});

describe('the list', () => {
  it('renews its first page, keeps older pages and repeats nothing', () => {
    const job = (id: string, created_at: number) => ({ ...complete(1), id, created_at });
    let list = listReducer(NO_LIST, {
      type: 'first',
      page: { data: [job('c', 3), job('b', 2)], next_cursor: 'b' },
    });
    list = listReducer(list, { type: 'more', page: { data: [job('a', 1)], next_cursor: null } });
    list = listReducer(list, {
      type: 'first',
      page: { data: [job('d', 4), job('c', 3)], next_cursor: 'c' },
    });
    expect(list.jobs.map(({ id }) => id)).toEqual(['d', 'c', 'b', 'a']);
    expect(list.cursor).toBeNull();
  });

  it('shows what is live on the pages that were loaded, nothing twice, newest first', () => {
    const job = (id: string, created_at: number, as = complete(1)) => ({ ...as, id, created_at });
    const listed = [job('d', 4), { ...running(1, 0), id: 'b', created_at: 2 }];
    const moved = { ...running(5, 50), id: 'b', created_at: 2 };
    const live = [job('new', 9), moved, job('too old', 1)];
    const deleted = new Set<string>();
    const rows = (cursor: string | null, status?: 'complete') =>
      onPages({ listed, cursor, live, deleted, status }).map(({ id }) => id);
    expect(rows('more')).toEqual(['new', 'd', 'b']);
    expect(rows(null)).toEqual(['new', 'd', 'b', 'too old']);
    expect(rows('more', 'complete')).toEqual(['new', 'd']);
    expect(onPages({ listed, cursor: 'more', live, deleted, status: undefined })[2]).toBe(moved);
    deleted.add('d').add('new');
    expect(rows('more')).toEqual(['b']);
  });

  it('shows of each job what is newer by its number, or its end, and what is live when both are', () => {
    const row = (live: ExportJob, listed: ExportJob) =>
      onPages({
        listed: [listed],
        cursor: null,
        live: [live],
        deleted: new Set(),
        status: undefined,
      })[0];
    const [early, late, end] = [running(2480, 48), running(4000, 0, 2), complete(3000)];
    expect(row(early, late)).toBe(late);
    expect(row(late, early)).toBe(late);
    expect(row(late, end)).toBe(end);
    expect(row(end, late)).toBe(end);
    const again = running(2480, 48);
    expect(row(early, again)).toBe(early);
  });
});

describe('creating', () => {
  it('keeps the upload when the job is refused, so that it need not be sent again', () => {
    let state = nextCreateState({ phase: 'idle' }, { type: 'start', size: 10 });
    state = nextCreateState(state, { type: 'sent', sent: 6 });
    state = nextCreateState(state, { type: 'sent', sent: 2 });
    expect(state).toEqual({ phase: 'uploading', sent: 6, size: 10, resumed: 0 });
    state = nextCreateState(state, { type: 'uploaded', upload_id: 'upl_1' });
    state = nextCreateState(state, { type: 'failed', error: new Error('no') });
    expect(state).toMatchObject({ phase: 'failed', upload_id: 'upl_1' });
  });

  it('tells what an earlier page had sent from what this one sends', () => {
    const events = [
      { type: 'start', size: 10 },
      { type: 'sent', sent: 4 },
      { type: 'resumed', sent: 4 },
      { type: 'sent', sent: 7 },
    ] as const;
    expect(events.reduce<CreateState>(nextCreateState, { phase: 'idle' })).toEqual({
      phase: 'uploading',
      sent: 7,
      size: 10,
      resumed: 4,
    });
  });
});

describe('server rendering', () => {
  it('shows the initial job and dials nothing', () => {
    const client = createClient();
    function Progress() {
      const { job, connection } = useExportJob('job-1', { initial: running(3, 42) });
      return createElement('p', null, `${job?.progress} ${connection}`);
    }
    const page = createElement(ExportsProvider, { client }, createElement(Progress));
    expect(renderToString(createElement(StrictMode, null, page))).toBe('<p>42 idle</p>');
  });

  it('shows the initial jobs of each visitor alone, though they share a client', () => {
    const client = createClient();
    const htmlOf = (id: string) => {
      const initial = [{ ...running(1, 1), id }];
      const Ids = () => useExports({ initial }).jobs.map((job) => job.id);
      return renderToString(createElement(ExportsProvider, { client }, createElement(Ids)));
    };
    expect([htmlOf('one'), htmlOf('two')]).toEqual(['one', 'two']);
  });
});

describe('mounted, in strict mode', () => {
  let page: ReturnType<typeof fakeGlobals>;
  let log: JobLog;
  let server: Awaited<ReturnType<typeof viewerServer>>;
  const roots: Root[] = [];

  beforeEach(async () => {
    page = fakeGlobals();
    vi.stubGlobal('document', page.document);
    vi.stubGlobal('window', page.window);
    log = new JobLog();
    log.say(running(1000, 5));
    server = await viewerServer(log.handlers);
  });
  afterEach(async () => {
    for (const root of roots.splice(0)) root.unmount();
    await server[Symbol.asyncDispose]();
    vi.unstubAllGlobals();
  });

  async function mount(client: ReturnType<typeof createClient>, component: () => ReactNode) {
    const { createRoot } = await import('react-dom/client');
    // As much of an element as React needs.
    const container = document.createElement('div');
    const root = createRoot(container);
    roots.push(root);
    const provided = createElement(ExportsProvider, { client }, createElement(component));
    root.render(createElement(StrictMode, null, provided));
    return { root, text: () => container.textContent };
  }

  const clientOf = () => createClient({ baseUrl: server.baseUrl, timing: { backoffMin: 2 } });

  it('many components that watch one job dial once, show it, and hang up with the last one', async () => {
    const client = clientOf();
    const Percent = () => `${useExportJob('job-1').job?.progress ?? '-'}`;
    const mounted = await Promise.all([1, 2, 3].map(() => mount(client, Percent)));
    await soon(() => expect(mounted.map(({ text }) => text())).toEqual(['5', '5', '5']));
    log.say(running(2000, 50));
    await soon(() => expect(mounted.map(({ text }) => text())).toEqual(['50', '50', '50']));
    expect(server.dials()).toBe(1);
    for (const { root } of mounted) root.unmount();
    await soon(() => expect(server.openSockets()).toBe(0));
  });

  it('a hundred mounts leave nothing behind, and nothing is shown after an unmount', async () => {
    const client = clientOf();
    let renders = 0;
    const Percent = () => {
      renders += 1;
      return `${useExportJob('job-1').job?.progress ?? '-'}`;
    };
    for (let n = 0; n < 100; n += 1) {
      const { root, text } = await mount(client, Percent);
      await soon(() => expect(text()).not.toBe(''), { interval: 1 });
      root.unmount();
    }
    await soon(() => expect([server.openSockets(), log.watchers]).toEqual([0, 0]));
    const before = renders;
    const watch = sharedWatch(client, 'job-1', undefined);
    expect(watch.getSnapshot().connection).toBe('idle');
    watch.offer(running(3000, 70));
    await new Promise((resolve) => setImmediate(resolve));
    expect(renders).toBe(before);
  });

  it('many components with one filter watch all exports over one socket', async () => {
    const feed = new FeedLog();
    feed.say({ ...running(1000, 5), id: 'a', created_at: 1 });
    await using feeds = await viewerServer(feed.handlers);
    const client = createClient({ baseUrl: feeds.baseUrl });
    const Ids = () =>
      useExports()
        .jobs.map(({ id }) => id)
        .join();
    const Waiting = () =>
      useExports({ status: 'pending' })
        .jobs.map(({ id }) => id)
        .join();
    const mounted = await Promise.all([Ids, Ids, Ids].map((show) => mount(client, show)));
    await soon(() => expect(mounted.map(({ text }) => text())).toEqual(['a', 'a', 'a']));
    feed.say({ ...waiting(1000), id: 'b', created_at: 2 });
    await soon(() => expect(mounted[2]?.text()).toBe('b,a'));
    expect(feeds.dials()).toBe(1);
    const other = await mount(client, Waiting);
    await soon(() => expect(other.text()).toBe('b'));
    expect(feeds.dials()).toBe(2);
    for (const { root } of [...mounted, other]) root.unmount();
    await soon(() => expect([feeds.openSockets(), feed.viewers]).toEqual([0, 0]));
  });

  it('a burst of reports is one render a frame', async () => {
    const frames: (() => void)[] = [];
    vi.stubGlobal('requestAnimationFrame', (draw: () => void) => frames.push(draw));
    vi.stubGlobal('cancelAnimationFrame', () => undefined);
    const feed = new FeedLog();
    feed.say({ ...running(1000, 0), id: 'a' });
    await using feeds = await viewerServer(feed.handlers);
    const client = createClient({ baseUrl: feeds.baseUrl });
    const shown: number[] = [];
    const Percent = () => {
      const { progress = -1 } = useExports().jobs[0] ?? {};
      useEffect(() => void shown.push(progress), [progress]);
      return `${progress}`;
    };
    const { text } = await mount(client, Percent);
    const draw = () => {
      for (const frame of frames.splice(0)) frame();
    };
    await soon(() => {
      draw();
      expect(text()).toBe('0');
    });
    for (let n = 1; n < 50; n += 1) feed.report({ ...running(1000 + n, n), id: 'a' });
    await soon(() => expect(sharedFeed(client, {}).get('a')?.progress).toBe(49));
    expect([text(), frames.length]).toEqual(['0', 1]);
    draw();
    await soon(() => expect(text()).toBe('49'));
    expect(shown.filter((progress) => progress > 0 && progress < 49)).toEqual([]);
  });

  it('a history has pages from the list and news from the feed, each row once', async () => {
    const feed = new FeedLog();
    for (const [n, id] of ['a', 'b', 'c', 'd', 'e'].entries()) {
      feed.note({ ...complete(3000), id, created_at: n });
    }
    feed.note({ ...running(1000, 0), id: 'c', created_at: 2 });
    await using feeds = await viewerServer(feed.handlers);
    const client = createClient({ baseUrl: feeds.baseUrl });
    let history: ExportHistory | undefined;
    const Rows = () => {
      const now = useExportHistory({ limit: 2 });
      useEffect(() => void (history = now));
      return now.jobs.map(({ id, progress }) => `${id}${progress}`).join(' ');
    };
    const { text } = await mount(client, Rows);
    const shows = (rows: string) => soon(() => expect(text()).toBe(rows));
    await shows('e100 d100');
    await soon(() => expect(history?.cursor).toBe('2'));
    history?.loadMore();
    await shows('e100 d100 c0 b100');
    feed.say({ ...waiting(1000), id: 'f', created_at: 9 });
    feed.report({ ...running(1300, 30), id: 'c', created_at: 2 });
    await shows('f0 e100 d100 c30 b100');
    await soon(() => expect(history?.cursor).toBe('4'));
    history?.refresh();
    feed.say({ ...complete(3000), id: 'c', created_at: 2 });
    history?.loadMore();
    await shows('f0 e100 d100 c100 b100 a100');
    await soon(() => expect(history?.cursor).toBeNull());
    expect([feeds.dials(), history?.connection]).toEqual([1, 'live']);
  });

  it('a history whose feed is refused says so, and shows each list that is read', async () => {
    let row = { ...running(1000, 0), id: 'a' };
    await using refusing = await viewerServer({
      refuse: () => 401,
      http(request, _body, response) {
        if (request.url?.startsWith('/api/feed')) {
          return json(response, 401, problem('unauthorized', 401));
        }
        json(response, 200, { data: [row], next_cursor: null });
      },
    });
    let history: ExportHistory | undefined;
    const Rows = () => {
      const now = useExportHistory();
      useEffect(() => void (history = now));
      return now.jobs.map(({ id, progress }) => `${id}${progress}`).join(' ');
    };
    const { text } = await mount(createClient({ baseUrl: refusing.baseUrl }), Rows);
    await soon(() => expect([text(), history?.connection]).toEqual(['a0', 'closed']));
    expect(history).toMatchObject({ error: null, feedError: { code: 'unauthorized' } });
    row = { ...running(1500, 50), id: 'a' };
    history?.refresh();
    await soon(() => expect(text()).toBe('a50'));
    row = { ...running(1600, 60), id: 'b', created_at: 0 };
    history?.refresh();
    await soon(() => expect(text()).toBe('b60'));
  });

  it('a list shows no page that was asked for with another filter, nor rows of another client', async () => {
    const late: (() => void)[] = [];
    const answer = (response: ServerResponse, id: string, next_cursor: string | null) =>
      json(response, 200, { data: [{ ...complete(1000), id }], next_cursor });
    await using slow = await viewerServer({
      http(request, _body, response) {
        const { searchParams } = new URL(request.url ?? '', 'http://here');
        const id = `${searchParams.get('status')}${searchParams.get('cursor') ?? ''}`;
        if (searchParams.has('cursor')) late.push(() => answer(response, id, null));
        else answer(response, id, 'more');
      },
    });
    await using silent = await viewerServer({ http: () => undefined });
    const [first, second] = [slow, silent].map(({ baseUrl }) => createClient({ baseUrl }));
    let list: ExportList | undefined;
    let choose: (what: { status: JobStatus; client: ExportClient | undefined }) => void = () =>
      undefined;
    const Rows = ({ status }: { status: JobStatus }) => {
      const now = useExportList({ status });
      useEffect(() => void (list = now));
      return `${status}: ${now.jobs.map(({ id }) => id).join()}`;
    };
    const Choice = () => {
      const [{ status, client = clientOf() }, set] = useState({
        status: 'complete' as JobStatus,
        client: first,
      });
      useEffect(() => void (choose = set), []);
      return createElement(ExportsProvider, { client }, createElement(Rows, { status }));
    };
    const { text } = await mount(clientOf(), Choice);
    await soon(() => expect(text()).toBe('complete: complete'));
    await soon(() => expect(list?.cursor).toBe('more'));
    list?.loadMore();
    await soon(() => expect(late).toHaveLength(1));
    choose({ status: 'error', client: first });
    await soon(() => expect(text()).toBe('error: error'));
    for (const reply of late) reply();
    await first?.listExports({ status: 'pending' });
    expect(text()).toBe('error: error');
    choose({ status: 'error', client: second });
    await soon(() => expect(text()).toBe('error: '));
  });

  it('a history of one status loses what leaves it, and another status needs no other socket', async () => {
    const feed = new FeedLog();
    feed.note({ ...running(1000, 0), id: 'a', created_at: 1 });
    const handlers: Handlers = {
      ...feed.handlers,
      http(request, body, response) {
        if (!request.url?.includes('status=')) return feed.handlers.http?.(request, body, response);
        const running = request.url.includes('status=processing');
        const jobs = running ? [{ ...listed, id: 'a', created_at: 1 }] : [];
        json(response, 200, { data: jobs, next_cursor: null });
      },
    };
    const listed = running(1000, 0);
    await using feeds = await viewerServer(handlers);
    const client = createClient({ baseUrl: feeds.baseUrl });
    let choose: (status: 'processing' | 'complete') => void = () => undefined;
    const Rows = () => {
      const [status, setStatus] = useState<'processing' | 'complete'>('processing');
      useEffect(() => void (choose = setStatus));
      const { jobs, loaded } = useExportHistory({ status });
      return `${status} ${loaded} ${jobs.map(({ id }) => id).join()}`;
    };
    const { text } = await mount(client, Rows);
    await soon(() => expect(text()).toBe('processing true a'));
    await soon(() => expect(feed.viewers).toBe(1));
    feed.say({ ...complete(3000), id: 'a', created_at: 1 });
    await soon(() => expect(text()).toBe('processing true '));
    choose('complete');
    await soon(() => expect(text()).toBe('complete true a'));
    expect(feeds.dials()).toBe(1);
  });

  it('a cancelled job is shown so to all who watch it, before any socket says it', async () => {
    const ended = { ...cancelled(2000), id: 'a' };
    await using server = await viewerServer({
      refuse: () => 0,
      http: (_request, _body, response) => json(response, 200, { job: ended }),
    });
    const client = createClient({ baseUrl: server.baseUrl });
    const initial = { ...running(1000, 5), id: 'a' };
    const list = [initial];
    let cancel: ReturnType<typeof useCancelExport> | undefined;
    const Both = () => {
      const own = useCancelExport();
      useEffect(() => void (cancel = own));
      const { job } = useExportJob('a', { initial });
      return `${job?.status} ${useExports({ initial: list }).jobs[0]?.status}`;
    };
    const { text } = await mount(client, Both);
    await soon(() => expect(text()).toBe('processing processing'));
    await cancel?.('a');
    await soon(() => expect(text()).toBe('cancelled cancelled'));
  });

  it('the time left goes down between two reports', async () => {
    const job = Object.assign(running(1000, 40), { eta_ms: 10_000, eta_p90_ms: 20_000 });
    const Left = () => {
      const left = useTimeLeft(job);
      return `${left?.ms} ${left?.p90Ms}`;
    };
    const { text } = await mount(clientOf(), Left);
    await soon(() => expect(text()).toBe('10000 20000'));
    const counted = async (below: number) =>
      soon(() => {
        const [ms = 0, p90Ms = 0] = (text() ?? '').split(' ').map(Number);
        expect(ms).toBeLessThan(below);
        expect(p90Ms - ms).toBe(10_000);
        return ms;
      });
    await counted(await counted(10_000));
  });

  it('an upload tells what is sent, and its end or what failed', async () => {
    let refuse = true;
    await using uploads = await viewerServer({
      http(request, body, response) {
        if (refuse) return json(response, 413, problem('body_too_large', 413));
        if (request.method === 'PUT')
          return json(response, 200, { upload_id: 'upl_1', size: body.length, etag: 'e' });
        json(response, 201, { upload_id: 'upl_1', url: '/put', expires_at: 1 });
      },
    });
    let upload: Upload | undefined;
    const Sending = () => {
      const now = useUpload();
      useEffect(() => void (upload = now));
      return now.state.phase;
    };
    const { text } = await mount(createClient({ baseUrl: uploads.baseUrl }), Sending);
    await soon(() => expect(text()).toBe('idle'));
    expect(await upload?.start(new Blob(['hello']))).toBeNull();
    await soon(() => expect(text()).toBe('failed'));
    expect(upload?.state).toMatchObject({
      error: { name: 'ExportApiError', code: 'body_too_large' },
    });
    refuse = false;
    expect(await upload?.start(new Blob(['hello']))).toMatchObject({ size: 5 });
    await soon(() => expect(text()).toBe('uploaded'));
  });

  it('an upload is stopped by an abort and by an unmount', async () => {
    const puts: Promise<void>[] = [];
    await using uploads = await viewerServer({
      http: (_request, _body, response) => {
        puts.push(new Promise((resolve) => response.on('close', resolve)));
      },
    });
    let upload: Upload | undefined;
    const Sending = () => {
      const now = useUpload();
      useEffect(() => void (upload = now));
      return now.state.phase;
    };
    const { root, text } = await mount(createClient({ baseUrl: uploads.baseUrl }), Sending);
    await soon(() => expect(upload).toBeDefined());
    const first = upload?.start(new Blob(['hello']));
    await soon(() => expect(puts).toHaveLength(1));
    upload?.abort();
    expect(await first).toBeNull();
    await soon(() => expect(text()).toBe('idle'));
    const second = upload?.start(new Blob(['hello']));
    await soon(() => expect(puts).toHaveLength(2));
    root.unmount();
    expect(await second).toBeNull();
    await Promise.all(puts);
  });
});

describe('the progress bar', () => {
  const html = (props: ExportProgressProps) => renderToString(createElement(ExportProgress, props));

  it('says its value to a screen reader, and has no style', () => {
    const bar = html({ job: Object.assign(running(1000, 42.9), { eta_ms: 120_000 }) });
    expect(bar).toBe(
      '<div role="progressbar" aria-label="Export" aria-valuemin="0" aria-valuemax="100" ' +
        'aria-valuenow="42" aria-valuetext="42 percent, about 2 minutes left" ' +
        'data-status="processing">42 %</div>',
    );
  });

  it.each([null, waiting(1000), running(1000, 0)])(
    'is indeterminate when nothing is known',
    (job) => {
      const bar = html({ job });
      expect(bar).not.toContain('aria-valuenow');
      expect(bar).toContain('data-indeterminate=""');
    },
  );

  it('gives what there is to show to its children', () => {
    const bar = html({
      job: complete(1000),
      children: ({ percent, status }) => `${percent} ${status}`,
    });
    expect(bar).toContain('>100 complete</div>');
    expect(bar).toContain('aria-valuetext="done"');
  });
});

describe('the time that is left', () => {
  const at = (updated_at: number, eta_ms: number | null, attempt = 1) =>
    Object.assign(running(1000, 40, attempt), { updated_at, eta_ms });

  it('goes down with the clock, and follows new estimates slowly', () => {
    let eta = nextEta(null, at(0, 10_000), 0);
    eta = nextEta(eta, at(1000, 9000), 0);
    expect(eta?.ms).toBe(9000);
    expect(nextEta(eta, at(2000, 18_000), 0)?.ms).toBe(11_000);
  });

  it('counts each report once, starts over with an attempt, and is nothing when none is known', () => {
    const eta = nextEta(null, at(1000, 10_000), 0);
    expect(nextEta(eta, at(1000, 90_000), 0)).toBe(eta);
    expect(nextEta(eta, at(2000, 50_000, 2), 0)?.ms).toBe(50_000);
    expect(nextEta(eta, at(2000, null), 0)).toBeNull();
    expect(nextEta(eta, complete(3000), 0)).toBeNull();
  });
});
