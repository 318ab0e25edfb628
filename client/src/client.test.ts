import { createServer } from 'node:http';
import { describe, expect, it } from 'vitest';
import { complete, running, waiting } from '../test/jobs.ts';
import { json, problem, viewerServer } from '../test/viewer-server.ts';
import { createClient } from './client.ts';

const timing = { backoffMin: 1, backoffMax: 4, retries: 4, request: 500 };

describe('createExport', () => {
  it('names a file on another server, and sends nothing but that', async () => {
    const sent: unknown[] = [];
    const fetch = async (_: unknown, init?: RequestInit) => {
      if (typeof init?.body === 'string') sent.push(JSON.parse(init.body));
      return Response.json({ job: running(1, 0), viewer_token: 't' }, { status: 201 });
    };
    const client = createClient({ baseUrl: 'http://x', fetch });
    const made = await client.createExport({ url: 'https://films.example/a.mov' });
    expect(made.upload_id).toBeNull();
    expect(sent).toEqual([{ input: { url: 'https://films.example/a.mov' }, options: {} }]);
  });

  it('keeps one idempotency key over the retries of one call, and makes another for the next', async () => {
    const keys: unknown[] = [];
    await using server = await viewerServer({
      http(request, _body, response) {
        keys.push(request.headers['idempotency-key']);
        if (keys.length === 1) return void request.socket.destroy();
        if (keys.length === 2)
          return json(response, 503, problem('database_unavailable', 503, true));
        json(response, 201, { job: waiting(1), viewer_token: 't' });
      },
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    expect((await client.createExport({ upload_id: 'upl_1' })).job.id).toBe('job-1');
    await client.createExport({ upload_id: 'upl_1' });
    expect(keys).toHaveLength(4);
    expect(new Set(keys.slice(0, 3)).size).toBe(1);
    expect(keys[3]).not.toBe(keys[0]);
  });

  it('passes a refusal on at once, with its fields', async () => {
    let calls = 0;
    await using server = await viewerServer({
      http(_request, _body, response) {
        calls += 1;
        json(response, 422, {
          ...problem('invalid_body', 422),
          detail: 'codec: this container cannot carry this codec',
          errors: [{ pointer: '/options/codec', detail: 'this container cannot carry this codec' }],
        });
      },
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    await expect(client.createExport({ upload_id: 'upl_1' })).rejects.toMatchObject({
      code: 'invalid_body',
      status: 422,
      retryable: false,
      errors: [{ pointer: '/options/codec' }],
    });
    expect(calls).toBe(1);
  });

  it('uploads a stream with its length and a blob alike, then creates the job from it', async () => {
    const puts: { length: string | undefined; body: string }[] = [];
    await using server = await viewerServer({
      http(request, body, response) {
        if (request.url === '/api/uploads') {
          return json(response, 201, {
            upload_id: 'upl_9',
            url: '/api/uploads/upl_9?sig=s',
            expires_at: 1,
          });
        }
        if (request.method === 'PUT') {
          expect(request.headers.authorization).toBeUndefined();
          puts.push({ length: request.headers['content-length'], body: body.toString() });
          return json(response, 200, { upload_id: 'upl_9', size: body.length, etag: 'e' });
        }
        expect(JSON.parse(body.toString())).toEqual({
          input: { upload_id: 'upl_9' },
          options: { mute: true },
        });
        json(response, 201, { job: waiting(1), viewer_token: 't' });
      },
    });
    const client = createClient({ baseUrl: server.baseUrl, timing, getToken: () => 'secret' });
    const sent: number[] = [];
    const stream = new Blob(['hello ', 'world']).stream();
    await client.createExport(
      { filename: 'a.mp4', size: 11, stream },
      { mute: true },
      { onUploadProgress: (bytes) => sent.push(bytes) },
    );
    await client.uploadFile(new File(['hello'], 'b.mp4'));
    expect(puts).toEqual([
      { length: '11', body: 'hello world' },
      { length: '5', body: 'hello' },
    ]);
    expect(sent.at(-1)).toBe(11);
  });

  it('takes a repeated upload that is already there as sent', async () => {
    let puts = 0;
    await using server = await viewerServer({
      http(request, _body, response) {
        if (request.method === 'POST') {
          return json(response, 201, {
            upload_id: 'upl_9',
            url: '/api/uploads/upl_9',
            expires_at: 1,
          });
        }
        puts += 1;
        if (puts === 1) return void request.socket.destroy();
        json(response, 409, problem('upload_exists', 409));
      },
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    await expect(client.uploadFile(new Blob(['x']))).resolves.toMatchObject({ upload_id: 'upl_9' });
  });
});

describe('the other calls', () => {
  it('says that the server cannot be reached, apart from any refusal', async () => {
    const gone = createServer();
    await new Promise<void>((resolve) => gone.listen(0, '127.0.0.1', resolve));
    const address = gone.address();
    await new Promise((resolve) => gone.close(resolve));
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const client = createClient({ baseUrl: `http://127.0.0.1:${port}`, timing });
    await expect(client.getExport('x')).rejects.toMatchObject({ name: 'ExportTransportError' });
  });

  it("names a page that is not the server's own, such as a proxy's or a fallback page", async () => {
    await using server = await viewerServer({
      http: (_request, _body, response) => response.end('<!doctype html>'),
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    await expect(client.getExport('x')).rejects.toMatchObject({
      code: 'unexpected_response',
      retryable: false,
    });
  });

  it('waits before a repeat as long as the server asks, and names the request that failed', async () => {
    const at: number[] = [];
    await using server = await viewerServer({
      http(_request, _body, response) {
        at.push(performance.now());
        response.setHeader('retry-after', '1').setHeader('cf-ray', `ray-${at.length}`);
        json(response, 429, problem('too_many_viewers', 429, true));
      },
    });
    const client = createClient({ baseUrl: server.baseUrl, timing: { ...timing, retries: 1 } });
    await expect(client.getExport('x')).rejects.toMatchObject({
      code: 'too_many_viewers',
      retryAfterMs: 1000,
      requestId: 'ray-2',
    });
    const [first = 0, second = 0] = at;
    expect(second - first).toBeGreaterThan(990);
  });

  it('leaves it to its caller to wait for longer than a minute, such as until tomorrow', async () => {
    let calls = 0;
    await using server = await viewerServer({
      http(_request, _body, response) {
        calls += 1;
        response.setHeader('retry-after', '61');
        json(response, 429, problem('daily_limit', 429, true));
      },
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    const created = client.createExport({ upload_id: 'upl_1' });
    await expect(created).rejects.toMatchObject({ code: 'daily_limit', retryAfterMs: 61_000 });
    expect(calls).toBe(1);
  });

  it('lists, cancels, deletes and links', async () => {
    const asked: string[] = [];
    await using server = await viewerServer({
      http(request, _body, response) {
        asked.push(`${request.method} ${request.url}`);
        if (request.method === 'DELETE') return response.writeHead(204).end();
        if (request.method === 'POST') return json(response, 200, { job: running(1, 1) });
        json(response, 200, { data: [complete(1)], next_cursor: null });
      },
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    const page = await client.listExports({ status: 'complete', limit: 5 });
    await client.cancelExport('a/b');
    await client.deleteExport('a/b');
    const [job] = page.data;
    if (job?.status !== 'complete') throw new Error('expected a finished job');
    expect(client.downloadUrl(job)).toBe(
      `${server.baseUrl}/api/videos/download/out%2F1?exp=1&sig=x`,
    );
    expect(createClient().downloadUrl({ output_url: 'https://r2.example/x' })).toBe(
      'https://r2.example/x',
    );
    expect(asked).toEqual([
      'GET /api/jobs?status=complete&limit=5',
      'POST /api/jobs/a%2Fb/cancel',
      'DELETE /api/jobs/a%2Fb',
    ]);
  });

  it('are all that a client shows', () => {
    expect(Object.keys(createClient()).toSorted()).toEqual([
      'cancelExport',
      'createExport',
      'deleteExport',
      'downloadUrl',
      'getExport',
      'listExports',
      'retryExport',
      'uploadFile',
      'watchExport',
    ]);
  });

  it('an abort wins over a running call and its retries', async () => {
    const abort = new AbortController();
    await using server = await viewerServer({
      http: () => abort.abort(new Error('changed my mind')),
    });
    const client = createClient({ baseUrl: server.baseUrl, timing });
    await expect(client.getExport('x', { signal: abort.signal })).rejects.toThrow(
      'changed my mind',
    );
  });
});
