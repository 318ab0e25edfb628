import { evictDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { Viewer, call, evict, post, problemOf, stubOf, until, upload } from './harness.ts';

// The contract, word by word, against a job made by hand.

let made = 0;
async function byHand(): Promise<string> {
  made += 1;
  const id = `test-job-${made}`;
  const init = await post(`/api/jobs/${id}/do/init`, { id, status: 'pending', progress: 0 });
  expect(await init.json()).toEqual({ success: true });
  return id;
}
const say = (id: string, name: string, body: unknown) => post(`/api/jobs/${id}/do/${name}`, body);

function rowOf(id: string) {
  return env.DB.prepare('SELECT * FROM export_jobs WHERE id = ?').bind(id).first();
}

describe('the smoke test', () => {
  it('a viewer sees the job from its start to its file', async () => {
    const id = 'test-job-123';
    const viewer = await Viewer.open(id);
    await say(id, 'init', { id, status: 'pending', progress: 0 });
    expect(await viewer.last('status')).toMatchObject({
      job_id: id,
      status: 'pending',
      progress: 0,
    });
    const progress = await say(id, 'progress', { progress: 50, message: 'Processing...' });
    expect(await progress.json()).toEqual({ success: true });
    expect(await viewer.last('progress')).toMatchObject({
      job_id: id,
      progress: 50,
      message: 'Processing...',
    });
    const complete = await say(id, 'complete', { output_video_key: 'out/a b.mp4' });
    expect(await complete.json()).toEqual({ success: true });
    const { output_url } = { output_url: '', ...(await viewer.last('complete')) };
    expect(output_url).toContain(`/api/videos/download/${encodeURIComponent('out/a b.mp4')}`);
    const log = await (await call(`/api/jobs/${id}/events`)).text();
    const Line = v.object({ view: v.object({ status: v.string() }) });
    const states = log
      .trim()
      .split('\n')
      .map((line) => v.parse(Line, JSON.parse(line)).view.status);
    expect(states).toEqual(['pending', 'processing', 'complete']);
  });

  it('the record in D1 follows with its times', async () => {
    const id = await byHand();
    await say(id, 'progress', { progress: 10 });
    const first = await until(async () => {
      const row = await rowOf(id);
      return row?.['progress'] === 10 ? row : null;
    });
    expect(first).toMatchObject({
      status: 'processing',
      progress: 10,
      retry_count: 0,
      error: null,
    });
    await say(id, 'progress', { progress: 60 });
    await say(id, 'complete', { output_video_key: 'out/x.mp4' });
    const last = await until(async () => {
      const row = await rowOf(id);
      return row?.['status'] === 'complete' ? row : null;
    });
    expect(last).toMatchObject({ progress: 100, output_video_key: 'out/x.mp4' });
    expect(last['started_at']).toBe(first['started_at']);
    expect(last['completed_at']).toBeGreaterThanOrEqual(Number(first['started_at']));
  });
});

describe('the object over HTTP', () => {
  it('says not_found before init, and the job with its heartbeat after', async () => {
    expect(await (await call('/api/jobs/nobody/do/status')).json()).toEqual({
      status: 'not_found',
    });
    const id = await byHand();
    const before = Date.now();
    await say(id, 'progress', { progress: 5 });
    const viewer = await Viewer.open(id);
    await viewer.last('status');
    const status = await (await call(`/api/jobs/${id}/do/status`)).json();
    expect(status).toMatchObject({
      job: { id, status: 'processing', progress: 5 },
      connections: 1,
    });
    const { last_heartbeat } = v.parse(v.object({ last_heartbeat: v.number() }), status);
    expect(last_heartbeat).toBeGreaterThanOrEqual(before);
  });

  it.each([
    ['progress', { progress: 1 }],
    ['complete', { output_video_key: 'out/x' }],
    ['error', { error: 'x' }],
  ])('%s before init is 400', async (name, body) => {
    const response = await say('never-made', name, body);
    expect(response.status).toBe(400);
    expect(await problemOf(response)).toMatchObject({ code: 'job_not_initialised' });
  });

  it('takes the same calls on the object itself', async () => {
    const stub = stubOf('direct');
    const direct = (name: string, method: string, body?: object) =>
      stub.fetch(`http://object/${name}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      });
    const init = { id: 'direct', status: 'pending', progress: 0 };
    expect(await (await direct('init', 'POST', init)).json()).toEqual({ success: true });
    expect(await (await direct('progress', 'POST', { progress: 3 })).json()).toEqual({
      success: true,
    });
    expect(await (await direct('status', 'GET')).json()).toMatchObject({ job: { progress: 3 } });
    expect((await direct('nonsense', 'GET')).status).toBe(404);
    expect((await direct('complete', 'DELETE')).status).toBe(405);
    expect((await direct('progress', 'GET')).status).toBe(405);
  });

  it('init twice is one job; another init is refused and wipes nothing (S6)', async () => {
    const id = await byHand();
    await say(id, 'progress', { progress: 80 });
    expect((await say(id, 'init', { id, status: 'pending', progress: 0 })).status).toBe(200);
    const other = await say(id, 'init', { id, status: 'pending', progress: 7 });
    expect(await problemOf(other)).toMatchObject({ code: 'idempotency_conflict', status: 409 });
    expect(await (await call(`/api/jobs/${id}`)).json()).toMatchObject({ job: { progress: 80 } });
  });

  it('the id of a body cannot reach another job (S14)', async () => {
    await byHand();
    const response = await say('attacker', 'init', {
      id: 'test-job-1',
      status: 'pending',
      progress: 0,
    });
    expect(response.status).toBe(422);
    expect(await (await call('/api/jobs/attacker/do/status')).json()).toEqual({
      status: 'not_found',
    });
  });
});

describe('errors', () => {
  it('are retried twice and then final, three attempts in all (S12)', async () => {
    const id = await byHand();
    const viewer = await Viewer.open(id);
    for (const retry_count of [1, 2]) {
      const reply = await say(id, 'error', { error: 'GPU fell off' });
      expect(await reply.json()).toEqual({ success: true, retrying: true });
      const told = await until(() =>
        viewer.events.find((m) => 'job' in m && m.job.retry_count === retry_count),
      );
      expect(told).toMatchObject({
        type: 'status',
        status: 'pending',
        job: { attempt: retry_count + 1 },
      });
      await say(id, 'progress', { progress: 1 });
    }
    const last = await say(id, 'error', { error: 'GPU fell off' });
    expect(await last.json()).toEqual({ success: true, retrying: false });
    expect(await viewer.last('error')).toMatchObject({ job_id: id, error: 'GPU fell off' });
    const row = await until(async () => {
      const seen = await rowOf(id);
      return seen?.['status'] === 'error' ? seen : null;
    });
    expect(row).toMatchObject({ retry_count: 2, error: 'GPU fell off' });
  });

  it('with should_retry:false are final at once', async () => {
    const id = await byHand();
    const reply = await say(id, 'error', { error: 'no', should_retry: false });
    expect(await reply.json()).toEqual({ success: true, retrying: false });
  });
});

describe('after the end', () => {
  it.each([
    ['progress', { progress: 5 }],
    ['error', { error: 'late' }],
    ['complete', { output_video_key: 'out/evil.html' }],
  ])('a late %s changes nothing (I1, S3, S4, S5)', async (name, body) => {
    const id = await byHand();
    await say(id, 'complete', { output_video_key: 'out/x.mp4' });
    const before = await (await call(`/api/jobs/${id}/do/status`)).json();
    const late = await say(id, name, body);
    expect(await problemOf(late)).toMatchObject({ code: 'job_finished', stop: true });
    const after = await (await call(`/api/jobs/${id}/do/status`)).json();
    const stable = (status: unknown) => JSON.stringify(status).replace(/token=[^"]+/, '');
    expect(stable(after)).toBe(stable(before));
  });

  it('the same complete again is answered as the first time', async () => {
    const id = await byHand();
    for (let i = 0; i < 3; i += 1) {
      const reply = await say(id, 'complete', { output_video_key: 'out/x.mp4' });
      expect(await reply.json()).toEqual({ success: true });
    }
  });

  it('a viewer who comes late gets the whole end (S9)', async () => {
    const id = await byHand();
    await say(id, 'complete', { output_video_key: 'out/x.mp4' });
    const viewer = await Viewer.open(id);
    await viewer.last('complete');
    expect(viewer.heard.map(({ type }) => type)).toEqual(['status', 'complete']);
    viewer.socket.send('{"type":"subscribe"}');
    await until(() => viewer.heard.length === 4);
  });
});

it('an upload cannot be published as an output (S15)', async () => {
  const key = `in/default/${await upload('secret source')}`;
  const refused = await say(await byHand(), 'complete', { output_video_key: key });
  expect(await problemOf(refused)).toMatchObject({ code: 'output_rejected' });
});

describe('viewers', () => {
  it('get a pong for a ping, however it is spelled', async () => {
    const viewer = await Viewer.open(await byHand());
    viewer.socket.send('{"type":"ping"}');
    await viewer.last('pong');
    viewer.socket.send('{ "type": "ping" }');
    await until(() => viewer.heard.filter(({ type }) => type === 'pong').length === 2);
  });

  it('do not wake a sleeping object with their pings (S20)', async () => {
    const id = await byHand();
    const viewer = await Viewer.open(id);
    await viewer.last('status');
    await evict(id);
    viewer.socket.send('{"type":"ping"}');
    await viewer.last('pong');
    await expect(evictDurableObject(stubOf(id))).rejects.toThrow('not currently running');
  });

  it('hear on after the object slept (S2)', async () => {
    const id = await byHand();
    const viewer = await Viewer.open(id);
    await viewer.last('status');
    await evict(id);
    await say(id, 'progress', { progress: 33 });
    expect(await viewer.last('progress')).toMatchObject({ progress: 33 });
  });

  it('that return with a cursor hear what they missed, in order (S26)', async () => {
    const id = await byHand();
    await say(id, 'error', { error: 'once' });
    await say(id, 'progress', { progress: 20 });
    await say(id, 'error', { error: 'twice' });
    const viewer = await Viewer.open(id, '?since=1000');
    await until(() => viewer.jobs.length === 3);
    expect(viewer.jobs.map(({ seq, status, retry_count }) => [seq, status, retry_count])).toEqual([
      [2000, 'pending', 1],
      [3000, 'processing', 1],
      [4000, 'pending', 2],
    ]);
  });
});

describe('bad bodies change nothing (S7, S18, S23)', () => {
  it.each([
    '{"progress":1e999}',
    '{"progress":-5}',
    '{"progress":101}',
    '{"progress":"abc"}',
    '{"progress":[1]}',
    '{"progress":{}}',
    '{"progress":null}',
    '{"progress":true}',
    '{}',
    '[]',
    'null',
    '"x"',
    '42',
    `{"progress":1,"message":"${'x'.repeat(1001)}"}`,
  ])('progress with %s is 422', async (body) => {
    const id = await byHand();
    const before = await (await call(`/api/jobs/${id}/do/status`)).text();
    const response = await say(id, 'progress', body);
    expect(await problemOf(response)).toMatchObject({ code: 'invalid_body', status: 422 });
    expect(await (await call(`/api/jobs/${id}/do/status`)).text()).toBe(before);
  });

  it.each([
    ['', 400, 'invalid_json'],
    ['{"progress":1', 400, 'invalid_json'],
    ['{"progress":1} x', 400, 'invalid_json'],
    [`{"progress":1,"x":"${'x'.repeat(70_000)}"}`, 413, 'body_too_large'],
  ])('a body that is not JSON, or too long, is refused', async (body, status, code) => {
    const response = await say(await byHand(), 'progress', body);
    expect(await problemOf(response)).toMatchObject({ status, code });
  });

  it('a body of another type, or not in UTF-8, is refused', async () => {
    const id = await byHand();
    const path = `/api/jobs/${id}/do/progress`;
    const plain = await call(path, { method: 'POST', body: '{"progress":1}' });
    expect(plain.status).toBe(415);
    const binary = await call(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: new Uint8Array([0xff, 0xfe]),
    });
    expect(binary.status).toBe(400);
  });

  it('texts are kept printable', async () => {
    const id = await byHand();
    const viewer = await Viewer.open(id);
    await say(id, 'progress', { progress: 1, message: 'a\u0000b\u202ec' });
    expect(await viewer.last('progress')).toMatchObject({ message: 'a b c' });
  });

  it.each(['.', '..', '%2e%2e', '..%2f', '%00', '%ff', 'a%2fb', 'x'.repeat(70)])(
    'the id %s makes no object (S28)',
    async (id) => {
      const response = await call(`/api/jobs/${id}/do/status`);
      expect(response.status).toBe(404);
    },
  );
});
