import { createExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { CreateReply, JobReply, ListReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { app } from '../src/routes/app.ts';
import {
  FakeRenderer,
  ORIGIN,
  Viewer,
  call,
  createJob,
  getJob,
  playProvider,
  post,
  problemOf,
  provider,
  textOf,
  ticketOf,
  until,
  upload,
  urlOf,
} from './harness.ts';

playProvider();

describe('POST /api/jobs', () => {
  it('makes a job and says where it is', async () => {
    const upload_id = await upload('bytes', 'ünï 🎬.mov');
    const response = await post('/api/jobs', {
      input: { upload_id },
      options: { container: 'gif' },
    });
    expect(response.status).toBe(201);
    const { job } = v.parse(CreateReply, await response.json());
    expect(response.headers.get('location')).toBe(`/api/jobs/${job.id}`);
    expect(job).toMatchObject({
      filename: 'ünï 🎬.mov',
      input_size: 5,
      options: { container: 'gif', quality: 60 },
    });
    expect((await ticketOf(job.id)).input).toMatchObject({
      attempt: 1,
      callback_url: `https://export.example/api/jobs/${job.id}/do`,
    });
  });

  it('a hundred repeats with one idempotency key make one job, dispatched once', async () => {
    const upload_id = await upload('bytes');
    const body = { input: { upload_id } };
    const replies = await Promise.all(
      Array.from({ length: 100 }, () => post('/api/jobs', body, { 'idempotency-key': 'click-1' })),
    );
    const ids = await Promise.all(
      replies.map(async (reply) => v.parse(CreateReply, await reply.json()).job.id),
    );
    expect(new Set(ids).size).toBe(1);
    await ticketOf(ids[0] ?? '');
    expect(provider.tickets).toHaveLength(1);
    const other = await post(
      '/api/jobs',
      { ...body, options: { container: 'gif' } },
      { 'idempotency-key': 'click-1' },
    );
    expect(await problemOf(other)).toMatchObject({ code: 'idempotency_conflict' });
  });

  it.each([
    [{}, 'invalid_body'],
    [{ input: { upload_id: '../etc/passwd' } }, 'invalid_body'],
    [{ input: { upload_id: `upl_${'0'.repeat(26)}` } }, 'input_not_found'],
    [{ input: { upload_id: `upl_${'0'.repeat(26)}` }, options: { codec: 'vp9' } }, 'invalid_body'],
    [{ input: { upload_id: `upl_${'0'.repeat(26)}` }, surprise: 1 }, 'invalid_body'],
  ])('refuses %j', async (body, code) => {
    const response = await post('/api/jobs', body);
    expect(await problemOf(response)).toMatchObject({ code, status: 422 });
  });

  it('points at the field that is wrong', async () => {
    const options = { width: 101 };
    const response = await post('/api/jobs', {
      input: { upload_id: `upl_${'0'.repeat(26)}` },
      options,
    });
    expect((await problemOf(response)).errors).toEqual([
      { pointer: '/options/width', detail: 'must be even' },
    ]);
  });

  it('accepts nothing while D1 is away, and says that it can be tried again', async () => {
    const upload_id = await upload('bytes');
    await env.DB.exec('ALTER TABLE export_jobs RENAME TO away');
    const response = await post('/api/jobs', { input: { upload_id } });
    await env.DB.exec('ALTER TABLE away RENAME TO export_jobs');
    expect(await problemOf(response)).toMatchObject({
      code: 'database_unavailable',
      retryable: true,
    });
    expect(provider.tickets).toEqual([]);
  });
});

describe('GET /api/jobs', () => {
  const list = async (query: string) =>
    v.parse(ListReply, await (await call(`/api/jobs?${query}`)).json());

  it('pages through all jobs, newest first, without a gap or a double', async () => {
    const made: string[] = [];
    for (let i = 0; i < 5; i += 1) made.unshift((await createJob()).id);
    await until(
      async () => (await list('limit=100')).data.filter(({ id }) => made.includes(id)).length === 5,
    );
    const seen: string[] = [];
    let cursor: string | null = '';
    while (cursor !== null) {
      const page: ListReply = await list(
        `limit=2${cursor && `&cursor=${encodeURIComponent(cursor)}`}`,
      );
      expect(page.data.length).toBeLessThanOrEqual(2);
      seen.push(...page.data.map(({ id }) => id));
      cursor = page.next_cursor;
    }
    expect(new Set(seen).size).toBe(seen.length);
    expect(seen.filter((id) => made.includes(id))).toEqual(made);
  });

  it('filters by status', async () => {
    const job = await createJob();
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    const { data } = await until(async () => {
      const page = await list('status=cancelled');
      return page.data.some(({ id }) => id === job.id) ? page : null;
    });
    expect(new Set(data.map(({ status }) => status))).toEqual(new Set(['cancelled']));
  });

  it.each([
    'limit=0',
    'limit=101',
    'limit=x',
    'status=done',
    'cursor=%21%21',
    'cursor=YQ==',
    'x=1',
  ])('refuses ?%s', async (query) => {
    expect(await problemOf(await call(`/api/jobs?${query}`))).toMatchObject({
      code: 'invalid_query',
      status: 422,
    });
  });
});

describe('POST /api/jobs/{id}/cancel', () => {
  it('ends a job whose creation was cut off before its object was made', async () => {
    const upload_id = await upload('bytes');
    const unreachable = vi.spyOn(env.EXPORT_JOB, 'getByName').mockImplementation(() => {
      throw new Error('overloaded');
    });
    const headers = { 'idempotency-key': 'cut-off' };
    expect((await post('/api/jobs', { input: { upload_id } }, headers)).status).toBe(500);
    unreachable.mockRestore();
    const listed = await call('/api/jobs?status=pending&limit=1');
    const [job] = v.parse(ListReply, await listed.json()).data;
    const cancelled = await call(`/api/jobs/${job?.id}/cancel`, { method: 'POST' });
    expect(v.parse(JobReply, await cancelled.json()).job).toMatchObject({ status: 'cancelled' });
  });
});

describe('POST /api/jobs/{id}/retry', () => {
  const retry = (id: string) => call(`/api/jobs/${id}/retry`, { method: 'POST' });

  it('makes one new job of a failed one, however often it is asked', async () => {
    const job = await createJob({ container: 'webm' });
    const renderer = await FakeRenderer.claims(job.id);
    expect(await problemOf(await retry(job.id))).toMatchObject({ code: 'retry_conflict' });
    await renderer.error('input_invalid');
    const replies = await Promise.all([retry(job.id), retry(job.id)]);
    const [one, two] = await Promise.all(
      replies.map(async (reply) => v.parse(CreateReply, await reply.json()).job),
    );
    expect(one).toMatchObject({ retry_of: job.id, attempt: 1, options: { container: 'webm' } });
    expect(two?.id).toBe(one?.id);
    expect(one?.id).not.toBe(job.id);
    expect(await getJob(job.id)).toMatchObject({ status: 'error' });
  });

  it('knows no job that nobody made', async () => {
    expect((await retry('nobody')).status).toBe(404);
  });
});

describe('GET /api/jobs/{id}/events', () => {
  it('lists every change of state in order, and no link', async () => {
    const job = await createJob();
    const renderer = await FakeRenderer.claims(job.id);
    await renderer.progress(50);
    await renderer.putOutput('file');
    await renderer.complete('file');
    const text = await (await call(`/api/jobs/${job.id}/events`)).text();
    const Line = v.pipe(
      v.string(),
      v.parseJson(),
      v.object({ seq: v.number(), happening: v.string() }),
    );
    const lines = text
      .trim()
      .split('\n')
      .map((line) => v.parse(Line, line));
    expect(lines.map(({ happening }) => happening)).toEqual([
      'created',
      'dispatched',
      'claimed',
      'complete',
    ]);
    expect(text).not.toContain('token=');
    expect((await call('/api/jobs/nobody/events')).status).toBe(404);
  });
});

describe('addresses', () => {
  it.each([
    ['DELETE', '/api/jobs', 'GET, POST'],
    ['PUT', '/api/jobs/x', 'GET, DELETE'],
    ['GET', '/api/jobs/x/do/complete', 'POST'],
    ['POST', '/api/videos/download/x', 'GET'],
    ['DELETE', '/healthz', 'GET'],
  ])('%s %s is 405 and says what is allowed (S23)', async (method, path, allow) => {
    const response = await call(path, { method });
    expect(response.headers.get('allow')).toBe(allow);
    expect(await problemOf(response)).toMatchObject({ code: 'method_not_allowed', status: 405 });
  });

  it.each(['/api', '/api/nothing', '/api/jobs/x/do/other', '/api/jobs/x/y/z', '/api/jobs/'])(
    '%s is 404',
    async (path) => {
      expect(await problemOf(await call(path))).toMatchObject({ code: 'not_found', status: 404 });
    },
  );

  it('a job that nobody made is 404 for reading, cancelling and its files', async () => {
    const id = 'job_00000000000000000000000000_00000000';
    expect((await call(`/api/jobs/${id}`)).status).toBe(404);
    expect((await call(`/api/jobs/${id}/cancel`, { method: 'POST' })).status).toBe(404);
    expect((await call('/api/jobs/nobody')).status).toBe(404);
  });

  it('GET /healthz says that it is us', async () => {
    expect(await (await call('/healthz')).json()).toEqual({
      ok: true,
      service: 'export-jobs',
      development: true,
    });
  });
});

describe('uploads', () => {
  const announce = async (size: number) =>
    v.parse(
      v.object({ url: v.string() }),
      await (await post('/api/uploads', { filename: 'a.mp4', size })).json(),
    ).url;
  const put = (url: string, body: string, headers: Record<string, string> = {}) =>
    call(url, {
      method: 'PUT',
      body,
      headers: { 'content-length': String(body.length), ...headers },
    });

  it('take the announced bytes once', async () => {
    const url = await announce(5);
    expect((await put(url, 'bytes')).status).toBe(200);
    expect(await problemOf(await put(url, 'other'))).toMatchObject({ code: 'upload_exists' });
  });

  it('refuse other sizes, changed links and links of another upload', async () => {
    const url = await announce(5);
    expect(await problemOf(await put(url, 'too long'))).toMatchObject({ code: 'upload_mismatch' });
    expect(await problemOf(await put(`${url}x`, 'bytes'))).toMatchObject({ code: 'link_expired' });
    const other = (await announce(5)).split('?')[1];
    expect((await put(`${url.split('?')[0]}?${other}`, 'bytes')).status).toBe(403);
    expect((await put(url, 'bytes')).status).toBe(200);
  });

  it('keep a name free of paths and control characters', async () => {
    const upload_id = await upload('x', '../../etc/p\u0000asswd.mov');
    const reply = await post('/api/jobs', { input: { upload_id } });
    expect(v.parse(CreateReply, await reply.json()).job.filename).toBe('p asswd.mov');
  });

  it('may be empty: the renderer says what is wrong with it', async () => {
    const url = await announce(0);
    expect((await put(url, '')).status).toBe(200);
  });
});

describe('downloads (S24)', () => {
  async function finished() {
    const job = await createJob();
    const renderer = await FakeRenderer.claims(job.id);
    await renderer.putOutput('0123456789');
    await renderer.complete('0123456789');
    return urlOf(await getJob(job.id));
  }

  it('honour ranges and conditions, and HEAD', async () => {
    const url = await finished();
    const whole = await call(url);
    expect(await textOf(whole)).toBe('0123456789');
    const etag = whole.headers.get('etag') ?? '';
    const part = await call(url, { headers: { range: 'bytes=2-4' } });
    expect([part.status, await textOf(part), part.headers.get('content-range')]).toEqual([
      206,
      '234',
      'bytes 2-4/10',
    ]);
    expect((await call(url, { headers: { range: 'bytes=99-' } })).status).toBe(416);
    expect((await call(url, { headers: { 'if-none-match': etag } })).status).toBe(304);
    expect((await call(url, { headers: { 'if-none-match': `W/${etag}` } })).status).toBe(304);
    expect((await call(url, { headers: { 'if-match': '"other"' } })).status).toBe(412);
    expect((await call(url, { headers: { 'if-match': `W/${etag}` } })).status).toBe(412);
    const head = await call(url, { method: 'HEAD', headers: { range: 'bytes=2-4' } });
    expect([head.status, head.headers.get('content-length'), await head.text()]).toEqual([
      200,
      '10',
      '',
    ]);
  });

  it('are attachments that no browser runs (I19)', async () => {
    const { headers } = await call(await finished());
    expect(headers.get('content-disposition')).toMatch(
      /^attachment; filename="my clip-export\.mp4"; filename\*=UTF-8''my%20clip-export\.mp4$/,
    );
    expect(headers.get('x-content-type-options')).toBe('nosniff');
    expect(headers.get('content-security-policy')).toContain('sandbox');
  });

  it('of another key, with a changed link, or of an input are refused', async () => {
    const url = await finished();
    expect((await call(url.replace('video.mp4', 'other.mp4'))).status).toBe(403);
    expect((await call(`${url}x`)).status).toBe(403);
    expect(
      (await call(`/api/videos/download/${encodeURIComponent('in/default/upl_x')}`)).status,
    ).toBe(404);
    expect((await call('/api/videos/download/%ff')).status).toBe(404);
    expect((await call('/api/videos/download/out%2Fnothing.mp4')).status).toBe(404);
  });
});

describe('sockets', () => {
  it('are refused to pages of other sites (S22)', async () => {
    const job = await createJob();
    const open = (origin: string) =>
      call(`/api/jobs/${job.id}/ws`, { headers: { upgrade: 'websocket', origin } });
    expect(await problemOf(await open('https://evil.example'))).toMatchObject({
      code: 'origin_not_allowed',
    });
    expect((await open(ORIGIN)).status).toBe(101);
  });

  it('need an upgrade, and only at their own address (S29)', async () => {
    const plain = await call('/api/jobs/x/ws');
    expect([plain.status, plain.headers.get('upgrade')]).toEqual([426, 'websocket']);
    expect((await call('/api/jobs/x/other', { headers: { upgrade: 'websocket' } })).status).toBe(
      404,
    );
  });

  it('that flood or shout are closed, and the others hear on (S21, I20)', async () => {
    const job = await createJob();
    const [flood, shout, calm] = await Promise.all([
      Viewer.open(job.id),
      Viewer.open(job.id),
      Viewer.open(job.id),
    ]);
    for (let i = 0; i < 40; i += 1) flood.socket.send('{"type":"subscribe"}');
    shout.socket.send('x'.repeat(2000));
    expect(await until(() => flood.closed)).toMatchObject({ code: 1008 });
    expect(await until(() => shout.closed)).toMatchObject({ code: 1009 });
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    await until(() => calm.jobs.some(({ status }) => status === 'cancelled'));
  });

  it('close with a clean handshake (S19)', async () => {
    const viewer = await Viewer.open((await createJob()).id);
    viewer.socket.close(4001, 'bye');
    expect(await until(() => viewer.closed)).toMatchObject({ code: 4001 });
  });

  it('say nothing to nonsense, and live on', async () => {
    const viewer = await Viewer.open((await createJob()).id);
    for (const text of ['', 'x', '[]', '{"type":"dance"}', '{"type":"subscribe","since":-1}'])
      viewer.socket.send(text);
    viewer.socket.send('{"type":"ping"}');
    await viewer.last('pong');
  });
});

describe('in production', () => {
  const API_KEY = 'k'.repeat(40);
  const { DEVELOPMENT: _, ...rest } = env;
  const production = { ...rest, API_KEY };
  const ask = (path: string, init: RequestInit = {}, vars: object = production) =>
    app.fetch(
      new Request(`${ORIGIN}${path}`, init),
      { ...rest, ...vars },
      createExecutionContext(),
    );
  const json = { 'content-type': 'application/json' };

  it.each([
    ['GET', '/api/jobs'],
    ['POST', '/api/jobs'],
    ['POST', '/api/uploads'],
  ])('%s %s needs the key (S1)', async (method, path) => {
    const body = method === 'POST' ? { body: '{}' } : {};
    for (const authorization of ['', 'Bearer', `Bearer ${API_KEY}x`, `Basic ${API_KEY}`, API_KEY]) {
      const response = await ask(path, { method, headers: { ...json, authorization }, ...body });
      expect(response.status).toBe(401);
    }
    const headers = { ...json, authorization: `Bearer ${API_KEY}` };
    expect((await ask(path, { method, headers, ...body })).status).not.toBe(401);
  });

  it('the contract’s calls need the token of their attempt', async () => {
    const job = await createJob();
    for (const name of ['init', 'claim', 'progress', 'complete', 'error']) {
      const request = { method: 'POST', headers: json, body: '{}' };
      expect((await ask(`/api/jobs/${job.id}/do/${name}`, request)).status).toBe(401);
    }
    expect((await ask(`/api/jobs/${job.id}/do/status`)).status).toBe(401);
    expect((await ask(`/api/jobs/${job.id}/cancel`, { method: 'POST' })).status).toBe(401);
    expect((await ask(`/api/jobs/${job.id}/source`)).status).toBe(401);
  });

  it('a viewer’s token opens its own job and no other', async () => {
    const upload_id = await upload('bytes');
    const made = await post('/api/jobs', { input: { upload_id } });
    const { job, viewer_token } = v.parse(CreateReply, await made.json());
    const headers = { authorization: `Bearer ${viewer_token}` };
    expect((await ask(`/api/jobs/${job.id}`, { headers })).status).toBe(200);
    expect((await ask(`/api/jobs/${(await createJob()).id}`, { headers })).status).toBe(401);
    expect((await ask(`/api/jobs/${job.id}/cancel`, { method: 'POST', headers })).status).toBe(403);
    const socket = {
      upgrade: 'websocket',
      'sec-websocket-protocol': `export.v1, bearer.${viewer_token}`,
    };
    const opened = await ask(`/api/jobs/${job.id}/ws`, { headers: socket });
    expect([opened.status, opened.headers.get('sec-websocket-protocol')]).toEqual([
      101,
      'export.v1',
    ]);
    expect(
      (await ask(`/api/jobs/${job.id}/ws`, { headers: { upgrade: 'websocket' } })).status,
    ).toBe(401);
  });

  it('ids that we did not make are unknown, and an unsigned download is refused', async () => {
    const headers = { authorization: `Bearer ${API_KEY}` };
    expect((await ask('/api/jobs/test-job-123', { headers })).status).toBe(404);
    expect((await ask('/api/videos/download/out%2Fx.mp4', { headers })).status).toBe(401);
  });

  it('without its secrets it serves nothing and names what is missing', async () => {
    const response = await ask('/healthz', {}, { API_KEY: undefined, SIGNING_KEYS: 'short' });
    const { code, detail } = await problemOf(response);
    expect({ code, detail }).toEqual({
      code: 'not_configured',
      detail: 'missing or malformed: SIGNING_KEYS, API_KEY',
    });
  });

  it('a missing binding of the object is said in plain words', async () => {
    const headers = { authorization: `Bearer ${API_KEY}` };
    const job = await createJob();
    const response = await ask(
      `/api/jobs/${job.id}`,
      { headers },
      { API_KEY, EXPORT_JOB: undefined },
    );
    expect((await problemOf(response)).detail).toContain('Durable Object not found');
  });
});

describe('labels and limits of a job', () => {
  const created = async (body: object, key: string = crypto.randomUUID()) => {
    const reply = await post('/api/jobs', body, { 'idempotency-key': key });
    return reply.status === 201 ? v.parse(CreateReply, await reply.json()).job : problemOf(reply);
  };
  const listed = async (query: string) => {
    const reply = await call(`/api/jobs?${query}`);
    return v.parse(ListReply, await reply.json()).data.map(({ id }) => id);
  };

  it('are kept, and a job is listed by each of its tags from its creation on', async () => {
    const input = { upload_id: await upload('bytes') };
    const body = { input, tags: ['launch', 'team:video'], max_dollars: 0.25 };
    const job = await created(body, 'labelled');
    expect(job).toMatchObject({ tags: ['launch', 'team:video'], max_dollars: 0.25 });
    await created(body, 'labelled');
    const other = await created({ input, tags: ['launch'] });
    const both = [other, job].map((made) => ('id' in made ? made.id : ''));
    expect((await listed('tag=launch')).toSorted()).toEqual(both.toSorted());
    expect(await listed('tag=team:video')).toEqual(['id' in job && job.id]);
    expect(await listed('tag=nobody')).toEqual([]);
    expect(await problemOf(await call('/api/jobs?tag=launch&status=pending'))).toMatchObject({
      code: 'invalid_query',
    });
  });

  it.each([
    { tags: ['a b'] },
    { tags: [''] },
    { tags: ['x'.repeat(65)] },
    { tags: ['twice', 'twice'] },
    { tags: Array.from({ length: 9 }, (_, i) => `t${i}`) },
    { max_dollars: 0 },
    { max_dollars: -1 },
    { max_dollars: '1' },
  ])('that make no sense are refused: %o', async (wrong) => {
    const input = { upload_id: await upload('bytes') };
    expect(await created({ input, ...wrong })).toMatchObject({ code: 'invalid_body' });
  });

  it('are those of the job that it repeats', async () => {
    const input = { upload_id: await upload('bytes') };
    const job = await created({ input, tags: ['again'], max_dollars: 3 });
    const id = 'id' in job ? job.id : '';
    await call(`/api/jobs/${id}/cancel`, { method: 'POST' });
    const again = await call(`/api/jobs/${id}/retry`, { method: 'POST' });
    expect(v.parse(CreateReply, await again.json()).job).toMatchObject({
      retry_of: id,
      tags: ['again'],
      max_dollars: 3,
    });
  });
});

describe('what a job has cost', () => {
  it('is on its record, in its view and in D1', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const job = await createJob();
    const renderer = new FakeRenderer(await ticketOf(job.id), 'process-one', 'NVIDIA L4');
    await renderer.claim();
    vi.setSystemTime(Date.now() + 50_000);
    await renderer.putOutput('file');
    await renderer.complete('file');
    const { cost } = await getJob(job.id);
    expect(cost?.gpu).toEqual([{ hardware: 'NVIDIA L4', ms: 50_000, dollars: 0.0095 }]);
    expect(cost?.platform.requests).toBeGreaterThan(3);
    expect(cost?.platform.rows).toBeGreaterThan(3);
    expect(cost?.dollars).toBeGreaterThan(0.0095);
    expect(cost?.dollars).toBeLessThan(0.0096);
    // Looking at it changes nothing of it.
    expect((await getJob(job.id)).cost).toEqual(cost);
    const stored = () =>
      env.DB.prepare("SELECT cost_usd FROM export_jobs WHERE id = ? AND status = 'complete'")
        .bind(job.id)
        .first('cost_usd');
    expect(await until(stored)).toBe(cost?.dollars);
  });
});
