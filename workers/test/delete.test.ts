import { createExecutionContext, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { CreateReply, FeedMessage, ListReply } from '@export-jobs/protocol';
import type { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import type { Env } from '../src/lib/env.ts';
import { readKept } from '../src/durable-objects/kept.ts';
import { mirrorToD1 } from '../src/outbox/handlers/mirror-to-d1.ts';
import { app } from '../src/routes/app.ts';
import { endedSince } from '../src/lib/job-views.ts';
import { deletedJobs, lookAgainAt, owingJobs } from '../src/lib/overdue.ts';
import { sweep } from '../src/sweep.ts';
import {
  FakeRenderer,
  MINUTE,
  ORIGIN,
  Viewer,
  call,
  createJob,
  evict,
  getJob,
  later,
  playProvider,
  post,
  problemOf,
  provider,
  stubOf,
  ticketOf,
  until,
  upload,
  urlOf,
} from './harness.ts';

playProvider();

const FILE = 'pretend this is a video';
const DAY = 24 * 60 * MINUTE;
const TENANT = 'default';

function remove(id: string, bindings?: Partial<Env>): Promise<Response> {
  const init = { method: 'DELETE' };
  if (!bindings) return call(`/api/jobs/${id}`, init);
  const request = new Request(`${ORIGIN}/api/jobs/${id}`, init);
  const answer = app.fetch(request, { ...env, ...bindings }, createExecutionContext());
  return Promise.resolve(answer);
}

async function finished(): Promise<ExportJob> {
  return await finish(await createJob());
}

async function finish({ id }: ExportJob): Promise<ExportJob> {
  const renderer = new FakeRenderer(await ticketOf(id));
  await renderer.claim();
  await renderer.putOutput(FILE);
  await renderer.complete(FILE);
  await until(async () => (await rowOf(id))?.['completed_at']);
  return await getJob(id);
}

async function cancelled(): Promise<ExportJob> {
  const { id } = await createJob();
  await ticketOf(id);
  await call(`/api/jobs/${id}/cancel`, { method: 'POST' });
  await until(async () => (await rowOf(id))?.['completed_at']);
  return await getJob(id);
}

const rowOf = (id: string) =>
  env.DB.prepare('SELECT * FROM export_jobs WHERE id = ?').bind(id).first();

async function filesOf(id: string): Promise<string[]> {
  const { objects } = await env.VIDEOS.list({ prefix: `out/${TENANT}/${id}/` });
  return objects.map(({ key }) => key);
}

async function listed(query = ''): Promise<string[]> {
  const { data } = v.parse(ListReply, await (await call(`/api/jobs${query}`)).json());
  return data.map(({ id }) => id);
}

/** Whether the object has forgotten everything; lets its alarm fire when that is due, by a faked clock too. */
async function isForgotten(id: string): Promise<boolean> {
  const at = await runInDurableObject(stubOf(id), (_, state) => state.storage.getAlarm());
  if (at !== null && at <= Date.now()) await runDurableObjectAlarm(stubOf(id));
  return await runInDurableObject(stubOf(id), (_, { storage }) => readKept(storage) === null);
}

async function loseAlarm(id: string): Promise<void> {
  await runInDurableObject(stubOf(id), (_, { storage }) => storage.deleteAlarm());
  await evict(id);
}

/** Which jobs the feed says are deleted to somebody who comes back. */
async function toldSince(since: number): Promise<string[]> {
  const { webSocket } = await call(`/api/feed?since=${since}`, SOCKET);
  const heard: FeedMessage[] = [];
  webSocket?.addEventListener('message', ({ data }) => {
    heard.push(v.parse(FeedMessage, JSON.parse(String(data))));
  });
  webSocket?.accept();
  await until(() => heard.some(({ type }) => type === 'ready'));
  webSocket?.close();
  return heard.flatMap((m) => (m.type === 'deleted' ? [m.job_id] : []));
}

const SOCKET = { headers: { upgrade: 'websocket' } };

describe('a deleted job', () => {
  it('is unknown to every route from then on, and its file is gone (I23)', async () => {
    const { id: before } = await cancelled();
    const job = await finished();
    const { id } = job;
    expect(await filesOf(id)).toHaveLength(1);
    const gone = await remove(id);
    expect([gone.status, await gone.text()]).toEqual([204, '']);
    for (const [path, init] of [
      ['', {}],
      ['?since=0', {}],
      ['/events', {}],
      ['/stream', {}],
      ['/tokens', { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{}' }],
      ['/cancel', { method: 'POST' }],
      ['/retry', { method: 'POST' }],
      ['/ws', SOCKET],
    ] as const) {
      const answer = await problemOf(await call(`/api/jobs/${id}${path}`, init));
      expect([path, answer.code]).toEqual([path, 'job_not_found']);
    }
    expect((await call(urlOf(job))).status).toBe(404);
    expect(await listed()).not.toContain(id);
    // Nor does it take a place on the page.
    expect(await listed('?limit=1')).toEqual([before]);
    expect(await listed('?status=complete')).not.toContain(id);
    expect(await filesOf(id)).toEqual([]);
    await until(() => isForgotten(id));
    expect((await call(`/api/jobs/${id}`)).status).toBe(404);
  });

  it('leaves no word of what it was about (I23)', async () => {
    const input = { upload_id: await upload('bytes', 'secret plan.mov') };
    const made = await post('/api/jobs', { input, tags: ['a-tag', 'another'] });
    const job = await finish(v.parse(CreateReply, await made.json()).job);
    expect(await listed('?tag=a-tag')).toEqual([job.id]);
    await remove(job.id);
    await until(() => isForgotten(job.id));
    expect(await listed('?tag=a-tag')).toEqual([]);
    const tags = await env.DB.prepare('SELECT id FROM export_job_tags WHERE id = ?')
      .bind(job.id)
      .all();
    expect(tags.results).toEqual([]);
    const row = JSON.stringify(await rowOf(job.id));
    expect(row).toContain('"deleted"');
    for (const word of ['secret', 'a-tag', 'mov', 'mp4']) expect(row).not.toContain(word);
  });

  it('is deleted once: a repeat finds it done, and an id that never was is unknown', async () => {
    const { id } = await finished();
    expect((await remove(id)).status).toBe(204);
    expect((await remove(id)).status).toBe(204);
    await until(() => isForgotten(id));
    expect((await remove(id)).status).toBe(204);
    expect((await problemOf(await remove('job_never'))).code).toBe('job_not_found');
  });

  it('is not made again by a repeat of the request that made it', async () => {
    const input = { upload_id: await upload('bytes') };
    const create = () => post('/api/jobs', { input }, { 'idempotency-key': 'once-only' });
    const { job } = v.parse(CreateReply, await (await create()).json());
    await finish(job);
    await remove(job.id);
    expect((await problemOf(await create())).code).toBe('idempotency_conflict');
    await until(() => isForgotten(job.id));
    expect((await problemOf(await create())).code).toBe('idempotency_conflict');
    expect(provider.tickets.filter(({ input: { job_id } }) => job_id === job.id)).toHaveLength(1);
  });

  it('closes the sockets of those who watch it, and is told in the feed', async () => {
    const { id } = await cancelled();
    const viewer = await Viewer.open(id);
    await viewer.last('status');
    const { webSocket } = await call('/api/feed', SOCKET);
    const heard: string[] = [];
    webSocket?.addEventListener('message', ({ data }) => heard.push(String(data)));
    webSocket?.accept();
    await until(() => heard.some((text) => text.includes('"ready"')));
    await remove(id);
    expect(await until(() => viewer.closed)).toEqual({ code: 1000, reason: 'deleted' });
    const told = JSON.stringify({ type: 'deleted', job_id: id });
    await until(() => heard.includes(told));
    webSocket?.close();
  });

  it('is not brought back by what its object still had to tell', async () => {
    const { id } = await cancelled();
    const kept = await runInDurableObject(stubOf(id), (_, { storage }) => readKept(storage));
    const view = await getJob(id);
    await remove(id);
    if (!kept) throw new Error('nothing kept');
    const { job, log } = kept;
    await mirrorToD1(env.DB, { job, log, view, lookAt: null });
    expect((await rowOf(id))?.['status']).toBe('deleted');
  });

  it('is told in the feed to who was away when it was deleted', async () => {
    const { id } = await cancelled();
    const since = Date.now();
    await remove(id);
    expect(await toldSince(since)).toContain(id);
    expect(await toldSince(since + 2 * MINUTE)).not.toContain(id);
  });

  it('takes the place of no other in the feed, nor of one that owes something, however many there are', async () => {
    const owing = await cancelled();
    const gone = await cancelled();
    await remove(gone.id);
    await until(() => isForgotten(gone.id));
    await env.DB.prepare(
      `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 600)
       INSERT INTO export_jobs (id, tenant, rev, status, progress, created_at, updated_at, completed_at,
         deadline_at, request_hash, written_at)
       SELECT id || i, tenant, rev, status, progress, created_at + i, updated_at, completed_at, 0,
         request_hash, written_at
       FROM export_jobs, n WHERE id = ?`,
    )
      .bind(gone.id)
      .run();
    const told = await endedSince(env.DB, TENANT, { since: 0, lifeMs: DAY });
    expect(told.map((job) => job.id)).toContain(owing.id);
    await lookAgainAt(env.DB, owing.id, 1);
    expect(await owingJobs(env.DB, Date.now())).toContain(owing.id);
    expect(await deletedJobs(env.DB, Date.now())).toHaveLength(100);
    await env.DB.exec(`DELETE FROM export_jobs WHERE status = 'deleted'`);
  });

  it('blocks the repeat of the job that it repeated for a day, and says why', async () => {
    const first = await cancelled();
    const retry = () => call(`/api/jobs/${first.id}/retry`, { method: 'POST' });
    const { job } = v.parse(CreateReply, await (await retry()).json());
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    await remove(job.id);
    expect(await problemOf(await retry())).toMatchObject({
      code: 'retry_conflict',
      detail: 'The job that it made was deleted.',
    });
  });

  it('is not looked at again by a sweep that has read it before', async () => {
    const { id } = await finished();
    await remove(id);
    await lookAgainAt(env.DB, id, Date.now());
    expect((await rowOf(id))?.['look_at']).toBeNull();
  });

  it('is forgotten altogether a day later, with whatever came in late', async () => {
    const { id } = await finished();
    await remove(id);
    await until(() => isForgotten(id));
    await env.VIDEOS.put(`out/${TENANT}/${id}/1/2/video.mp4`, 'late');
    await sweep(env, Date.now() + DAY - MINUTE);
    expect(await rowOf(id)).not.toBeNull();
    await sweep(env, Date.now() + DAY + MINUTE);
    expect(await rowOf(id)).toBeNull();
    expect(await filesOf(id)).toEqual([]);
  });
});

describe('a job', () => {
  it('that has not ended cannot be deleted, and goes on (I23)', async () => {
    const job = await createJob();
    expect((await problemOf(await remove(job.id))).code).toBe('delete_conflict');
    const renderer = new FakeRenderer(await ticketOf(job.id));
    await renderer.claim();
    await renderer.progress(40);
    const before = await getJob(job.id);
    expect((await problemOf(await remove(job.id))).code).toBe('delete_conflict');
    expect(await getJob(job.id)).toEqual(before);
    await renderer.putOutput(FILE);
    expect((await renderer.complete(FILE)).status).toBe(200);
  });

  it('whose object is gone long since can be deleted all the same', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { id } = await finished();
    later(8 * DAY);
    expect(await isForgotten(id)).toBe(true);
    expect((await call(`/api/jobs/${id}`)).status).toBe(200);
    expect((await remove(id)).status).toBe(204);
    expect((await call(`/api/jobs/${id}`)).status).toBe(404);
    expect(await filesOf(id)).toEqual([]);
    await sweep(env, Date.now() + 60 * MINUTE);
    expect(await rowOf(id)).not.toBeNull();
  });

  it('is hidden at once while R2 is away, and its file goes when that is back (I23)', async () => {
    const { id } = await finished();
    const away = vi.spyOn(env.VIDEOS, 'list').mockRejectedValue(new Error('R2 is away'));
    expect((await remove(id)).status).toBe(204);
    expect((await problemOf(await call(`/api/jobs/${id}`))).code).toBe('job_not_found');
    expect(await listed()).not.toContain(id);
    expect(await isForgotten(id)).toBe(false);
    away.mockRestore();
    expect(await filesOf(id)).toHaveLength(1);
    // Even when its alarm is lost besides: the sweep sets it again.
    await loseAlarm(id);
    vi.useFakeTimers({ toFake: ['Date'] });
    later(3 * MINUTE);
    await sweep(env, Date.now());
    expect(await rowOf(id)).not.toBeNull();
    await until(() => isForgotten(id));
    expect(await filesOf(id)).toEqual([]);
  });

  it('is deleted though D1 is away, which its object makes up for', async () => {
    const { id } = await finished();
    await env.DB.prepare('ALTER TABLE export_jobs RENAME TO away').run();
    expect((await remove(id)).status).toBe(204);
    expect(await stubOf(id).view(null)).toBeNull();
    expect(await isForgotten(id)).toBe(false);
    await env.DB.prepare('ALTER TABLE away RENAME TO export_jobs').run();
    vi.useFakeTimers({ toFake: ['Date'] });
    later(2 * MINUTE);
    await until(() => isForgotten(id));
    expect((await rowOf(id))?.['status']).toBe('deleted');
    expect(await filesOf(id)).toEqual([]);
  });

  it('that D1 has not heard the end of is hidden at once, and never shown when D1 hears it (I23)', async () => {
    const { id } = await createJob();
    await ticketOf(id);
    const name = 'late_end';
    await env.DB.prepare(
      `CREATE TRIGGER ${name} BEFORE UPDATE ON export_jobs WHEN NEW.status = 'cancelled'
       BEGIN SELECT RAISE(ABORT, 'not yet'); END`,
    ).run();
    await call(`/api/jobs/${id}/cancel`, { method: 'POST' });
    expect((await rowOf(id))?.['completed_at']).toBeNull();
    expect((await remove(id)).status).toBe(204);
    expect((await problemOf(await call(`/api/jobs/${id}`))).code).toBe('job_not_found');
    expect(await listed()).not.toContain(id);
    await env.DB.prepare(`DROP TRIGGER ${name}`).run();
    vi.useFakeTimers({ toFake: ['Date'] });
    later(2 * MINUTE);
    await until(() => isForgotten(id));
    expect((await rowOf(id))?.['view']).toBeNull();
  });

  it('whose alarm is lost is still stopped, and forgotten, after the sweep has seen to it', async () => {
    const { id } = await createJob();
    const { id: remote } = await ticketOf(id);
    const isAway = () => new Response('', { status: 500 });
    provider.answers.push(isAway);
    await call(`/api/jobs/${id}/cancel`, { method: 'POST' });
    await until(() => provider.answers.length === 0);
    await remove(id);
    await loseAlarm(id);
    vi.useFakeTimers({ toFake: ['Date'] });
    later(3 * MINUTE);
    await sweep(env, Date.now());
    expect(await rowOf(id)).not.toBeNull();
    later(MINUTE);
    await until(() => isForgotten(id));
    expect(provider.stopped).toEqual([remote]);
    later(DAY + MINUTE);
    await sweep(env, Date.now());
    expect(await rowOf(id)).toBeNull();
  });

  it('can be deleted as soon as it is cancelled, and is forgotten once that is told', async () => {
    const { id } = await createJob();
    const { id: remote } = await ticketOf(id);
    // The provider takes its time to stop it.
    let isStopping = true;
    provider.answers.push(async () => {
      await until(() => !isStopping);
      return Response.json({ id: remote, status: 'CANCELLED' });
    });
    await call(`/api/jobs/${id}/cancel`, { method: 'POST' });
    await until(() => provider.answers.length === 0);
    expect((await remove(id)).status).toBe(204);
    expect(await isForgotten(id)).toBe(false);
    isStopping = false;
    await until(() => isForgotten(id));
    expect((await rowOf(id))?.['status']).toBe('deleted');
  });

  it('that was just cancelled has its renderer stopped before it is forgotten (I14)', async () => {
    const job = await createJob();
    const { id: remote } = await ticketOf(job.id);
    await until(async () => {
      const { waiting_for } = { waiting_for: null, ...(await getJob(job.id)) };
      return waiting_for === 'renderer';
    });
    // The provider is away when it is to stop the job, and still so when it is asked again.
    const isAway = () => new Response('', { status: 500 });
    provider.answers.push(isAway, isAway);
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    expect((await remove(job.id)).status).toBe(204);
    expect((await call(`/api/jobs/${job.id}`)).status).toBe(404);
    vi.useFakeTimers({ toFake: ['Date'] });
    later(5 * MINUTE);
    expect(await isForgotten(job.id)).toBe(false);
    expect(provider.answers).toEqual([]);
    later(5 * MINUTE);
    await until(() => isForgotten(job.id));
    expect(provider.stopped).toEqual([remote]);
    expect((await rowOf(job.id))?.['status']).toBe('deleted');
  });
});
