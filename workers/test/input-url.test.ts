import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { CreateReply, MAX_UPLOAD_BYTES } from '@export-jobs/protocol';
import type { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { readKept } from '../src/durable-objects/kept.ts';
import {
  FakeRenderer,
  Viewer,
  call,
  createJob,
  evict,
  getJob,
  playProvider,
  post,
  problemOf,
  provider,
  stubOf,
  ticketOf,
  until,
} from './harness.ts';

playProvider();

const URL_OF_FILM = 'https://media.films.org/a%20film.mov?signature=s3cr3t#t=1';

async function createByUrl(input: object = {}, headers: Record<string, string> = {}) {
  const body = { input: { url: URL_OF_FILM, ...input }, options: { width: 640 } };
  return post('/api/jobs', body, headers);
}
async function created(response: Response): Promise<ExportJob> {
  expect(response.status).toBe(201);
  return v.parse(CreateReply, await response.json()).job;
}

describe('an input by URL', () => {
  it('is handed to the renderer with its limit, and to nobody else', async () => {
    const response = await createByUrl();
    const text = await response.clone().text();
    const job = await created(response);
    expect(job).toMatchObject({ upload_id: null, filename: 'a film.mov', input_size: null });
    const viewer = await Viewer.open(job.id);
    const renderer = new FakeRenderer(await ticketOf(job.id));
    const { source } = await renderer.claim();
    expect(source).toEqual({
      kind: 'url',
      url: URL_OF_FILM,
      filename: 'a film.mov',
      max_bytes: MAX_UPLOAD_BYTES,
    });
    await viewer.last('status');
    const shown = [
      text,
      JSON.stringify(viewer.heard),
      JSON.stringify(provider.tickets),
      await (await call(`/api/jobs/${job.id}`)).text(),
      await (await call(`/api/jobs/${job.id}/events`)).text(),
      await (await call('/api/jobs?limit=100')).text(),
    ];
    for (const what of shown) expect(what).not.toMatch(/s3cr3t|films\.org/);
  });

  it('is asked for nothing by the Worker', async () => {
    const asked: string[] = [];
    const { calls } = vi.mocked(globalThis.fetch).mock;
    const job = await created(await createByUrl());
    await ticketOf(job.id);
    for (const [target] of calls) asked.push(new URL(new Request(target).url).hostname);
    expect(new Set(asked)).toEqual(new Set(['runpod.example']));
  });

  it('is not in D1 once its object has told of its job', async () => {
    const job = await created(await createByUrl());
    await FakeRenderer.claims(job.id);
    const row = () => env.DB.prepare('SELECT * FROM export_jobs WHERE id = ?').bind(job.id).first();
    await until(async () => Number((await row())?.['rev']) > 0);
    expect(JSON.stringify(await row())).not.toContain('s3cr3t');
  });

  it('has nothing at the address of uploads, and its attempts end like others', async () => {
    const job = await created(await createByUrl());
    const renderer = await FakeRenderer.claims(job.id);
    const source = await call(`/api/jobs/${job.id}/source`, { headers: renderer.auth });
    expect(await problemOf(source)).toMatchObject({ code: 'file_not_found' });
    await evict(job.id);
    await renderer.putOutput('file');
    expect((await renderer.complete('file')).status).toBe(200);
    expect(await getJob(job.id)).toMatchObject({
      status: 'complete',
      output: { filename: 'a film-export.mp4' },
    });
  });

  it.each([
    ['source_refused', 'error'],
    ['source_unavailable', 'error'],
    ['input_too_large', 'error'],
    ['source_unreachable', 'pending'],
  ])('after %s is %s', async (code, status) => {
    const job = await created(await createByUrl());
    const renderer = await FakeRenderer.claims(job.id);
    await renderer.error(code, { error: 'at 10.0.0.5' });
    const after = await getJob(job.id);
    expect(after.status).toBe(status);
    expect(JSON.stringify(after)).not.toContain('10.0.0.5');
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
  });

  it('is that of the job that repeats it, by its whole address', async () => {
    const job = await created(await createByUrl({ filename: 'Mine.mov' }));
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    const again = await created(await post(`/api/jobs/${job.id}/retry`, {}));
    const twice = await created(await post(`/api/jobs/${job.id}/retry`, {}));
    expect(twice.id).toBe(again.id);
    expect(again).toMatchObject({ retry_of: job.id, filename: 'Mine.mov' });
    const { source } = await new FakeRenderer(await ticketOf(again.id)).claim();
    expect(source).toMatchObject({ kind: 'url', url: URL_OF_FILM, filename: 'Mine.mov' });
  });

  it('cannot be repeated once its object is gone, for only that knows the address', async () => {
    const job = await created(await createByUrl());
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    const row = () => env.DB.prepare('SELECT * FROM export_jobs WHERE id = ?').bind(job.id).first();
    await until(async () => (await row())?.['status'] === 'cancelled');
    await runInDurableObject(stubOf(job.id), (_, { storage }) => storage.deleteAll());
    await evict(job.id);
    const response = await post(`/api/jobs/${job.id}/retry`, {});
    expect(await problemOf(response)).toMatchObject({ code: 'retry_conflict' });
  });

  it('is part of what an idempotency key stands for', async () => {
    const key = { 'idempotency-key': 'by-url-1' };
    const job = await created(await createByUrl({}, key));
    expect((await created(await createByUrl({}, key))).id).toBe(job.id);
    const other = await createByUrl({ url: `${URL_OF_FILM}2` }, key);
    expect(await problemOf(other)).toMatchObject({ code: 'idempotency_conflict' });
  });

  it.each([
    ['https://media.films.org/x/Film%20(1).MP4?a=b', 'Film (1).MP4'],
    ['https://media.films.org/download/8f3k2jd93jd', 'video'],
    ['https://media.films.org/', 'video'],
    ['https://media.films.org/%E0%A4%A.mp4', 'video'],
    ['https://media.films.org/%2e%2e%2fetc%2fpasswd.mp4', 'video'],
    ['https://media.films.org/a%00b.mp4', 'video'],
  ])('of %s is called %s', async (url, filename) => {
    expect(await created(await createByUrl({ url }))).toMatchObject({ filename });
  });

  it.each([
    ['http://media.films.org/film.mp4', 'https:'],
    ['https://10.0.0.1/film.mp4', 'IP address'],
    ['https://0x7f.1/film.mp4', 'IP address'],
    ['https://[::ffff:127.0.0.1]/film.mp4', 'IP address'],
    ['https://localhost/film.mp4', 'public host'],
    ['https://metadata.google.internal/', 'public host'],
    ['https://user:pass@media.films.org/film.mp4', 'password'],
    ['https://media.films.org:8443/film.mp4', 'port'],
    ['https://EXPORT.example./api/jobs', 'public host'],
    ['nonsense', 'URL'],
  ])('%s is refused, and why is said', async (url, why) => {
    const problem = await problemOf(await createByUrl({ url }));
    expect(problem).toMatchObject({ code: 'input_url_refused', status: 422, retryable: false });
    expect(problem.detail).toContain(why);
    expect(provider.tickets).toEqual([]);
  });

  it.each([
    [{ url: `https://media.films.org/${'x'.repeat(2048)}` }, '/input/url'],
    [{ url: 7 }, '/input/url'],
    [{ upload_id: `upl_${'0'.repeat(26)}` }, '/input/upload_id'],
    [{ headers: { authorization: 'x' } }, '/input/headers'],
    [{ filename: '' }, '/input/filename'],
  ])('with %j is of the wrong shape', async (input, pointer) => {
    const problem = await problemOf(await createByUrl(input));
    expect(problem).toMatchObject({ code: 'invalid_body', errors: [{ pointer }] });
  });
});

describe('a job of an older version', () => {
  it('has an input that does not say of which kind it is', async () => {
    const job = await createJob();
    await runInDurableObject(stubOf(job.id), (_, { storage }) => {
      const kept = readKept(storage);
      if (kept?.job.request?.input.kind !== 'upload') throw new Error('not kept as an upload');
      const { kind: _kind, ...input } = kept.job.request.input;
      const request = { ...kept.job.request, input };
      storage.kv.put('job', JSON.stringify({ ...kept, job: { ...kept.job, request } }));
    });
    await evict(job.id);
    const renderer = new FakeRenderer(await ticketOf(job.id));
    expect((await renderer.claim()).source).toMatchObject({ kind: 'upload', size: 10 });
  });
});
