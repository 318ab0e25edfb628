import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { afterEach, describe, expect, it, vi } from 'vitest';
import {
  startStandIn,
  type Rule,
  type StandIn,
  type StandInOptions,
  type TracedCall,
} from './index.ts';

const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function start(options: Partial<StandInOptions> = {}): Promise<StandIn> {
  const started = await startStandIn({ port: 0, apiKey: 'key', ...options });
  cleanups.push(() => started.close());
  return started;
}

interface Ask {
  readonly method?: string;
  readonly body?: unknown;
  readonly key?: string | undefined;
  readonly signal?: AbortSignal;
}
const Reply = v.looseObject({ id: v.optional(v.string()), status: v.optional(v.string()) });

async function ask(queue: StandIn, path: string, { method, body, key, signal }: Ask) {
  const response = await fetch(`${queue.url}/v2/local/${path}`, {
    method: method ?? (body === undefined ? 'GET' : 'POST'),
    headers: key === undefined ? {} : { authorization: key },
    ...(body === undefined ? {} : { body: typeof body === 'string' ? body : JSON.stringify(body) }),
    ...(signal ? { signal } : {}),
  });
  const text = await response.text();
  const json: unknown = text === '' ? undefined : JSON.parse(text);
  return { status: response.status, json };
}
const client = (queue: StandIn, path: string, init: Ask = {}) =>
  ask(queue, path, { key: 'Bearer key', ...init });
const worker = (queue: StandIn, path: string, init: Ask = {}) =>
  ask(queue, path, { key: 'key', ...init });

async function run(queue: StandIn, more: object = {}): Promise<string> {
  const { json } = await client(queue, 'run', { body: { input: { n: 1 }, ...more } });
  return v.parse(Reply, json).id ?? '';
}
const done = (queue: StandIn, id: string, body: unknown, name = 'w1') =>
  worker(queue, `job-done/${name}/${id}?gpu=local&isStream=false`, { body });
const statusOf = async (queue: StandIn, id: string) =>
  v.parse(Reply, (await client(queue, `status/${id}`)).json);
const workersOf = async (queue: StandIn) => {
  const { json } = await client(queue, 'health');
  return v.parse(v.object({ workers: v.record(v.string(), v.number()) }), json).workers;
};
/** Waits for an assertion to hold. */
const soon = (check: () => void | Promise<void>) =>
  vi.waitFor(check, { timeout: 60_000, interval: 10 });
/** Resolves once so many calls of this kind are open. */
const untilOpen = (queue: StandIn, op: string, calls = 1) =>
  soon(() => {
    const open = queue.trace().filter((call) => call.op === op && call.status === undefined);
    expect(open).toHaveLength(calls);
  });

/** A server that hears webhooks and answers as it is told; the last answer goes on. */
async function hookServer(...answers: number[]) {
  const heard: unknown[] = [];
  const server = createServer((request, response) => {
    let text = '';
    request.on('data', (part) => (text += String(part)));
    request.on('end', () => {
      heard.push(JSON.parse(text));
      const status = answers.length > 1 ? answers.shift() : answers[0];
      response.writeHead(status ?? 200, { location: '/elsewhere' }).end();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanups.push(async () => server.close());
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  return { heard, url: `http://127.0.0.1:${port}/hook` };
}

describe('a client of the stand-in', () => {
  it('runs a job and sees it end', async () => {
    const queue = await start();
    const { status, json } = await client(queue, 'run', { body: { input: { n: 1 } } });
    const { id = '' } = v.parse(Reply, json);
    expect([status, json]).toEqual([200, { id, status: 'IN_QUEUE' }]);
    expect(id).toMatch(/^[0-9a-f-]{36}-u1$/);
    expect(await worker(queue, 'job-take/w1')).toMatchObject({ status: 200, json: { id } });
    expect(await statusOf(queue, id)).toMatchObject({ status: 'IN_PROGRESS', workerId: 'w1' });
    await done(queue, id, { output: { n: 2 } });
    const posted = await client(queue, `status/${id}`, { method: 'POST' });
    expect(posted.json).toMatchObject({ status: 'COMPLETED', output: { n: 2 } });
  });

  it('waits in /runsync and /status-sync for the end of the job', async () => {
    const queue = await start();
    const answered = client(queue, 'runsync', { body: { input: { n: 1 } } });
    const taken = v.parse(Reply, (await worker(queue, 'job-take/w1')).json);
    const id = taken.id ?? '';
    expect(id).toMatch(/^sync-[0-9a-f-]{36}/);
    const others = [
      client(queue, `status-sync/${id}?wait=300000`),
      client(queue, `status-sync/${id}`, { method: 'POST' }),
    ];
    await untilOpen(queue, 'status-sync', 2);
    await done(queue, id, { output: 'x' });
    for (const { status, json } of [await answered, ...(await Promise.all(others))]) {
      expect(status).toBe(200);
      expect(json).toMatchObject({ id, status: 'COMPLETED', output: 'x' });
    }
  });

  it('hears how the job stands when its wait is over first', async () => {
    const queue = await start();
    const startedAt = performance.now();
    const { json } = await client(queue, 'runsync?wait=1000', { body: { input: { n: 1 } } });
    expect(json).toMatchObject({ status: 'IN_QUEUE' });
    expect(performance.now() - startedAt).toBeGreaterThan(990);
  });

  it('fetches what is streamed as it comes, each piece once, then the end', async () => {
    const queue = await start();
    const id = await run(queue);
    await worker(queue, 'job-take/w1');
    const first = client(queue, `stream/${id}`);
    await untilOpen(queue, 'stream');
    const send = (output: unknown) =>
      worker(queue, `job-stream/w1/${id}?isStream=false`, { body: { output } });
    await send('a');
    expect((await first).json).toEqual({ status: 'IN_PROGRESS', stream: [{ output: 'a' }] });
    await send('b');
    await send('c');
    const both = { status: 'IN_PROGRESS', stream: [{ output: 'b' }, { output: 'c' }] };
    expect((await client(queue, `stream/${id}`, { method: 'POST' })).json).toEqual(both);
    expect((await client(queue, `stream/${id}?wait=1000`)).json).toEqual({
      status: 'IN_PROGRESS',
      stream: [],
    });
    await done(queue, id, { output: [] });
    expect((await client(queue, `stream/${id}`)).json).toEqual({ status: 'COMPLETED', stream: [] });
  });

  it('cancels, retries and purges', async () => {
    const queue = await start();
    const id = await run(queue);
    const cancelled = await client(queue, `cancel/${id}`, { method: 'POST' });
    expect(cancelled.json).toEqual({ id, status: 'CANCELLED' });
    expect((await client(queue, `retry/${id}`, { method: 'POST' })).status).toBe(400);
    const failed = await run(queue);
    await worker(queue, 'job-take/w1');
    await done(queue, failed, { error: 'broken' });
    const retried = await client(queue, `retry/${failed}`, { method: 'POST' });
    expect(retried.json).toEqual({ id: failed, status: 'IN_QUEUE' });
    const purged = await client(queue, 'purge-queue', { method: 'POST' });
    expect(purged.json).toEqual({ removed: 1, status: 'completed' });
    expect((await client(queue, `status/${failed}`)).status).toBe(404);
  });

  it('sets the time to live of a job when it asks for its status', async () => {
    const queue = await start({ leaseMs: 100 });
    const id = await run(queue);
    expect((await client(queue, `status/${id}?ttl=100`)).status).toBe(200);
    await soon(async () => expect((await client(queue, `status/${id}`)).status).toBe(404));
  });

  it.each<[number, string, Ask]>([
    [401, 'health', { key: undefined }],
    [401, 'health', { key: 'Bearer another' }],
    [200, 'health', { key: 'key' }],
    [404, '../other/health', {}],
    [404, 'requests', {}],
    [404, 'status', {}],
    [404, 'status/none', {}],
    [404, 'status-sync/none', {}],
    [404, 'stream/none', {}],
    [404, 'cancel/none', { method: 'POST' }],
    [404, 'retry/none', { method: 'POST' }],
    [404, '%ff', {}],
    [405, 'run', {}],
    [405, 'cancel/none', {}],
    [405, 'health', { method: 'POST' }],
    [400, 'run', { body: '{' }],
    [400, 'run', { body: {} }],
    [400, 'run', { body: { input: {} } }],
    [400, 'run', { body: { input: 'text' } }],
    [400, 'run', { body: { input: { a: 1 }, webhook: 'no address' } }],
    [400, 'run', { body: { input: { a: 1 }, policy: { ttl: 9999 } } }],
    [400, 'run', { body: { input: { a: 1 }, policy: { executionTimeout: 4999 } } }],
    [400, 'run', { body: { input: { a: 1 }, policy: { executionTimeout: 604_800_001 } } }],
    [200, 'run', { body: { input: { a: 1 }, policy: { ttl: 10_000, executionTimeout: 5000 } } }],
    [400, 'runsync?wait=999', { body: { input: { a: 1 } } }],
    [400, 'stream/none?wait=soon', {}],
  ])('hears %i of %s with %j', async (status, path, init) => {
    expect((await client(await start(), path, init)).status).toBe(status);
  });

  it('may send 10 MB to /run and 20 MB to /runsync, and hears of it when that is too much', async () => {
    const queue = await start();
    const body = (bytes: number) => {
      const empty = JSON.stringify({ input: { text: '' } });
      return JSON.stringify({ input: { text: 'x'.repeat(bytes - empty.length) } });
    };
    const MB = 1024 * 1024;
    const send = async (path: string, bytes: number) =>
      await client(queue, path, { body: body(bytes) });
    const refusal = (bytes: number) => ({
      status: 400,
      json: { error: `the body is larger than ${bytes} bytes` },
    });
    expect(await send('run', 10 * MB)).toMatchObject({ status: 200 });
    expect(await send('run', 10 * MB + 1)).toEqual(refusal(10 * MB));
    expect(await send('runsync?wait=1000', 20 * MB)).toMatchObject({ status: 200 });
    expect(await send('runsync?wait=1000', 20 * MB + 1)).toEqual(refusal(20 * MB));
  });
});

describe('a worker of the stand-in', () => {
  it('is given everything that it must know', async () => {
    const queue = await start();
    const env = queue.workerEnv('w1');
    const base = `${queue.url}/v2/local`;
    expect(env).toMatchObject({
      RUNPOD_WEBHOOK_GET_JOB: `${base}/job-take/$ID?gpu=local`,
      RUNPOD_WEBHOOK_POST_OUTPUT: `${base}/job-done/$RUNPOD_POD_ID/$ID?gpu=local`,
      RUNPOD_WEBHOOK_POST_STREAM: `${base}/job-stream/$RUNPOD_POD_ID/$ID?gpu=local`,
      RUNPOD_WEBHOOK_PING: `${base}/ping/$RUNPOD_POD_ID?gpu=local`,
      RUNPOD_AI_API_KEY: 'key',
      RUNPOD_POD_ID: 'w1',
    });
  });

  it('hears of a job at once while it polls, and of none when the hold is over', async () => {
    const queue = await start({ holdMs: 300 });
    expect(await worker(queue, 'job-take/w1')).toEqual({ status: 204, json: undefined });
    const polled = worker(queue, 'job-take/w1');
    await untilOpen(queue, 'job-take');
    const id = await run(queue);
    expect((await polled).json).toMatchObject({ id, input: { n: 1 } });
  });

  it('leaves a job to others when it hangs up before it is given it', async () => {
    const queue = await start();
    const leaving = new AbortController();
    const polled = worker(queue, 'job-take/gone', { signal: leaving.signal });
    await untilOpen(queue, 'job-take');
    leaving.abort();
    await expect(polled).rejects.toThrow('aborted');
    await untilOpen(queue, 'job-take', 0);
    const id = await run(queue);
    expect((await worker(queue, 'job-take/w1')).json).toMatchObject({ id });
  });

  it('takes several jobs in one call, as many as there are', async () => {
    const queue = await start({ holdMs: 50 });
    const ids = [await run(queue), await run(queue), await run(queue)];
    const take = () => worker(queue, 'job-take-batch/w1?gpu=local&batch_size=2&job_in_progress=0');
    expect((await take()).json).toMatchObject([{ id: ids[0] }, { id: ids[1] }]);
    expect((await take()).json).toMatchObject([{ id: ids[2] }]);
    expect(await take()).toEqual({ status: 204, json: undefined });
  });

  it('hears which of its jobs it must stop', async () => {
    const queue = await start();
    const id = await run(queue);
    await worker(queue, 'job-take/w1');
    const polled = worker(queue, 'job-stop/w1');
    await untilOpen(queue, 'job-stop');
    await client(queue, `cancel/${id}`, { method: 'POST' });
    expect(await polled).toEqual({ status: 200, json: { jobsToStop: [id] } });
    expect((await done(queue, id, { output: 1 })).status).toBe(400);
  });

  it('loses a job that its pings do not name, and the next one gets it', async () => {
    const queue = await start({ leaseMs: 1000 });
    const [kept, lost] = [await run(queue), await run(queue)];
    await worker(queue, 'job-take-batch/w1?batch_size=2');
    await soon(async () => {
      await worker(queue, `ping/w1?job_id=${kept},other`);
      expect((await statusOf(queue, lost)).status).toBe('IN_QUEUE');
    });
    expect((await worker(queue, 'job-take/w2')).json).toMatchObject({ id: lost });
    expect((await done(queue, lost, { output: 'late' })).status).toBe(400);
    expect((await done(queue, lost, { output: 1 }, 'w2')).status).toBe(200);
    expect((await done(queue, lost, { output: 1 }, 'w2')).status).toBe(400);
    expect(await statusOf(queue, kept)).toMatchObject({ status: 'IN_PROGRESS', workerId: 'w1' });
    expect(await statusOf(queue, lost)).toMatchObject({ status: 'COMPLETED', retries: 1 });
  });

  it('is counted by what it says of itself', async () => {
    const queue = await start({ holdMs: 0 });
    const none = { idle: 0, initializing: 0, ready: 0, running: 0, throttled: 0, unhealthy: 0 };
    expect(await workersOf(queue)).toEqual(none);
    const id = await run(queue);
    for (const name of ['w1', 'w2', 'w3']) await worker(queue, `ping/${name}`);
    await worker(queue, 'job-take/w1');
    await worker(queue, 'ping/w3?status=unhealthy&check=ffmpeg&reason=none');
    expect(await workersOf(queue)).toEqual({
      ...none,
      idle: 1,
      ready: 2,
      running: 1,
      unhealthy: 1,
    });
    await done(queue, id, { output: 1, stopPod: true });
    await worker(queue, 'job-take/w1');
    expect(await workersOf(queue)).toEqual({ ...none, idle: 1, ready: 1, unhealthy: 1 });
    await worker(queue, 'ping/w1');
    expect(await workersOf(queue)).toEqual({ ...none, idle: 2, ready: 2, unhealthy: 1 });
    expect(await statusOf(queue, id)).toMatchObject({ status: 'COMPLETED', output: 1 });
  });

  it.each<[number, string, Ask]>([
    [401, 'ping/w1', { key: 'Bearer key' }],
    [401, 'job-take/w1', { key: undefined }],
    [405, 'job-done/w1/none', {}],
    [405, 'ping/w1', { method: 'POST' }],
    [404, 'job-done/w1', { body: { output: 1 } }],
    [400, 'job-done/w1/none', { body: { output: 1 } }],
    [400, 'job-done/w1/none', { body: 'nothing' }],
    [400, 'job-stream/w1/none', { body: { output: 1 } }],
    [400, 'job-take-batch/w1?batch_size=0', {}],
  ])('hears %i of %s with %j', async (status, path, init) => {
    expect((await worker(await start(), path, init)).status).toBe(status);
  });

  it('may send 1 MB in one piece of a stream', async () => {
    const queue = await start();
    const id = await run(queue);
    await worker(queue, 'job-take/w1');
    const send = async (bytes: number) => {
      const body = `{"output":"${'x'.repeat(bytes - 13)}"}`;
      return (await worker(queue, `job-stream/w1/${id}`, { body })).status;
    };
    expect([await send(1024 * 1024), await send(1024 * 1024 + 1)]).toEqual([200, 400]);
  });
});

describe('a webhook', () => {
  const finish = async (queue: StandIn, webhook: string) => {
    const id = await run(queue, { webhook });
    await worker(queue, 'job-take/w1');
    await done(queue, id, { output: 'x' });
    return id;
  };

  it('is told what /status shows, until it answers exactly 200', async () => {
    const hook = await hookServer(204, 302, 200);
    const queue = await start({ webhookRetryMs: 10 });
    const id = await finish(queue, hook.url);
    await soon(() => expect(hook.heard).toHaveLength(3));
    expect(hook.heard[2]).toEqual(await statusOf(queue, id));
  });

  it('is told three times at most', async () => {
    const hook = await hookServer(500);
    const over: TracedCall[] = [];
    const queue = await start({ webhookRetryMs: 10, onCall: (call) => over.push(call) });
    const tries = () => over.filter(({ op, status }) => op === 'webhook' && status === 500).length;
    await finish(queue, hook.url);
    await soon(() => expect(tries()).toBe(3));
    // A fourth try of the first would come no later than the third of the second.
    await finish(queue, hook.url);
    await soon(() => expect(tries()).toBeGreaterThanOrEqual(6));
    expect(hook.heard).toHaveLength(6);
  });

  it('is told of a cancelled job too', async () => {
    const hook = await hookServer(200);
    const queue = await start();
    const id = await run(queue, { webhook: hook.url });
    await client(queue, `cancel/${id}`, { method: 'POST' });
    await soon(() => expect(hook.heard).toEqual([{ id, status: 'CANCELLED' }]));
  });

  it.each<[string, Rule['fault'], number, number[]]>([
    ['twice', { times: 2 }, 2, [200]],
    ['never, though it counts as heard', { status: 200 }, 0, [200]],
    ['never, by any try', { drop: 'call' }, 0, [0, 0, 0]],
    ['by every try, because its answers are lost', { drop: 'answer' }, 3, [0, 0, 0]],
  ])('is told %s, when the script says %j', async (_, fault, heard, statuses) => {
    const hook = await hookServer(200);
    const over: TracedCall[] = [];
    const queue = await start({ webhookRetryMs: 1, onCall: (call) => over.push(call) });
    queue.script([{ on: 'webhook', fault }]);
    await finish(queue, hook.url);
    const tries = () => over.filter(({ op }) => op === 'webhook').map(({ status }) => status);
    await soon(() => expect(tries()).toEqual(statuses));
    expect(hook.heard).toHaveLength(heard);
  });
});

describe('the script of the stand-in', () => {
  it('answers in the place of the platform, which then does nothing', async () => {
    const queue = await start();
    const headers = { 'retry-after': '7' };
    queue.script([{ on: 'run', nth: 1, fault: { status: 429, body: { no: 1 }, headers } }]);
    const response = await fetch(`${queue.url}/v2/local/run`, {
      method: 'POST',
      headers: { authorization: 'Bearer key' },
      body: JSON.stringify({ input: { n: 1 } }),
    });
    expect([response.status, response.headers.get('retry-after')]).toEqual([429, '7']);
    expect(await response.json()).toEqual({ no: 1 });
    const id = await run(queue);
    expect(await statusOf(queue, id)).toMatchObject({ status: 'IN_QUEUE' });
    expect((await client(queue, 'health')).json).toMatchObject({ jobs: { inQueue: 1 } });
  });

  it('loses a call, or only its answer', async () => {
    const queue = await start();
    const inQueue = async () =>
      v.parse(
        v.object({ jobs: v.object({ inQueue: v.number() }) }),
        (await client(queue, 'health')).json,
      ).jobs.inQueue;
    queue.script([
      { on: 'run', nth: 1, fault: { drop: 'call' } },
      { on: 'run', nth: 2, fault: { drop: 'answer' } },
    ]);
    await expect(run(queue)).rejects.toThrow('fetch failed');
    expect(await inQueue()).toBe(0);
    await expect(run(queue)).rejects.toThrow('fetch failed');
    expect(await inQueue()).toBe(1);
    expect(queue.trace().filter(({ op }) => op === 'run')).toMatchObject([
      { status: 0, fault: { drop: 'call' } },
      { status: 0, fault: { drop: 'answer' } },
    ]);
  });

  it('carries a call out twice, and answers with the second answer', async () => {
    const queue = await start();
    queue.script([{ on: 'job-done', fault: { times: 2 } }]);
    const id = await run(queue);
    await worker(queue, 'job-take/w1');
    expect((await done(queue, id, { output: 1 })).status).toBe(400);
    expect(await statusOf(queue, id)).toMatchObject({ status: 'COMPLETED', output: 1 });
  });

  it('lets a call come late', async () => {
    const queue = await start();
    queue.script([{ on: 'run', fault: { delayMs: 200 } }]);
    const startedAt = performance.now();
    const late = run(queue);
    await untilOpen(queue, 'run');
    expect((await client(queue, 'health')).json).toMatchObject({ jobs: { inQueue: 0 } });
    await late;
    expect(performance.now() - startedAt).toBeGreaterThan(190);
  });

  it('loses a job that was handed out, until its lease is over', async () => {
    const queue = await start({ leaseMs: 1000 });
    queue.script([{ on: 'job-take', worker: 'w1', fault: { drop: 'answer' } }]);
    const id = await run(queue);
    await expect(worker(queue, 'job-take/w1')).rejects.toThrow('fetch failed');
    expect(await statusOf(queue, id)).toMatchObject({ status: 'IN_PROGRESS', workerId: 'w1' });
    expect((await worker(queue, 'job-take/w2')).json).toMatchObject({ id });
    expect(await statusOf(queue, id)).toMatchObject({ workerId: 'w2', retries: 1 });
  });

  it('can be about the calls for one job, by whomever', async () => {
    const queue = await start();
    const [spared, struck] = [await run(queue), await run(queue)];
    queue.script([{ on: ['status', 'job-done'], job: struck, fault: { status: 500 } }]);
    await worker(queue, 'job-take-batch/w1?batch_size=2');
    const asked = async (id: string) => [
      (await client(queue, `status/${id}`)).status,
      (await done(queue, id, { output: 1 })).status,
    ];
    expect([await asked(spared), await asked(struck)]).toEqual([
      [200, 200],
      [500, 500],
    ]);
  });

  it('tells progress from results', async () => {
    const queue = await start();
    queue.script([{ on: 'job-done', nth: 1, fault: { status: 500 } }]);
    const id = await run(queue);
    await worker(queue, 'job-take/w1');
    const progress = { status: 'IN_PROGRESS', output: 'half' };
    expect((await done(queue, id, progress)).status).toBe(200);
    expect((await done(queue, id, { output: 1 })).status).toBe(500);
    expect(queue.trace().map(({ op }) => op)).toEqual(['run', 'job-take', 'progress', 'job-done']);
  });

  it('can be set over HTTP, by who has the key', async () => {
    const queue = await start();
    const post = async (rules: unknown, authorization = 'Bearer key') => {
      const init = { method: 'POST', headers: { authorization }, body: JSON.stringify(rules) };
      return (await fetch(`${queue.url}/_script`, init)).status;
    };
    const rules = [{ on: 'health', fault: { status: 503 } }];
    expect(await post(rules, 'Bearer another')).toBe(401);
    expect((await client(queue, 'health')).status).toBe(200);
    expect(await post([{ on: 'health' }])).toBe(400);
    expect(await post(rules, 'key')).toBe(200);
    expect((await client(queue, 'health')).status).toBe(503);
    expect(await post([])).toBe(200);
    expect((await client(queue, 'health')).status).toBe(200);
  });
});

describe('the trace of the stand-in', () => {
  it('has every call as it was on the wire, with the kind of its key in the place of the key', async () => {
    const queue = await start({ holdMs: 0 });
    await worker(queue, 'job-take/w%201?gpu=local&job_in_progress=0');
    await client(queue, 'run', { body: { input: { n: 1 } } });
    await client(queue, 'cancel/none', { body: 'no json', key: 'wrong key' });
    await client(queue, 'nothing', { key: undefined });
    const calls = queue.trace();
    const path = (rest: string) => `/v2/local/${rest}`;
    expect(calls).toMatchObject([
      {
        seq: 1,
        op: 'job-take',
        method: 'GET',
        path: path('job-take/w%201'),
        query: { gpu: 'local', job_in_progress: '0' },
        headers: { authorization: 'raw' },
        bytes: 0,
        status: 204,
      },
      {
        seq: 2,
        op: 'run',
        method: 'POST',
        path: path('run'),
        query: {},
        headers: { authorization: 'bearer', 'content-type': 'text/plain;charset=UTF-8' },
        body: { input: { n: 1 } },
        bytes: 17,
        status: 200,
        answer: { status: 'IN_QUEUE' },
      },
      { op: 'cancel', headers: { authorization: 'wrong' }, body: 'no json', status: 401 },
      { op: 'unknown', path: path('nothing'), headers: { authorization: 'none' }, status: 404 },
    ]);
    for (const { at, answeredAt = 0 } of calls) {
      expect(Math.abs(Date.now() - at)).toBeLessThan(5000);
      expect(answeredAt).toBeGreaterThanOrEqual(at);
    }
    expect(JSON.stringify(calls)).not.toMatch(/wrong key|Bearer/);
  });

  it('shows an open call without a status, and 0 once its caller has hung up', async () => {
    const over: TracedCall[] = [];
    const queue = await start({ onCall: (call) => over.push(call) });
    const leaving = new AbortController();
    const polled = worker(queue, 'job-take/w1', { signal: leaving.signal });
    await untilOpen(queue, 'job-take');
    expect(over).toEqual([]);
    leaving.abort();
    await expect(polled).rejects.toThrow('aborted');
    await soon(() => expect(over).toMatchObject([{ op: 'job-take', status: 0 }]));
    expect(queue.trace()).toEqual(over);
  });

  it('is bounded: the newest 2000 calls, without large bodies', async () => {
    const queue = await start();
    const { status } = await client(queue, 'run', {
      body: { input: { text: 'x'.repeat(70_000) } },
    });
    const [large] = queue.trace();
    expect([status, large?.bytes, large?.body]).toEqual([200, 70_021, undefined]);
    for (let n = 0; n < 20; n += 1) {
      await Promise.all(Array.from({ length: 100 }, () => worker(queue, `ping/w${n}`)));
    }
    const calls = queue.trace();
    expect([calls.length, calls[0]?.seq, calls.at(-1)?.seq]).toEqual([2000, 2, 2001]);
  });

  it('can be fetched over HTTP, by who has the key, and does not show that', async () => {
    const queue = await start();
    await client(queue, 'health');
    const fetched = async (authorization: string) =>
      await fetch(`${queue.url}/_trace`, { headers: { authorization } });
    expect((await fetched('another')).status).toBe(401);
    expect(await (await fetched('Bearer key')).json()).toEqual({ calls: queue.trace() });
    expect(queue.trace()).toHaveLength(1);
  });
});

describe('the state file', () => {
  it('keeps what is queued over a restart, private to its owner', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'queue-'));
    cleanups.push(() => rm(folder, { recursive: true }));
    const stateFile = join(folder, 'queue.json');
    const first = await startStandIn({ port: 0, apiKey: 'key', stateFile });
    const ids = [await run(first), await run(first)];
    expect(JSON.parse(await readFile(stateFile, 'utf8'))).toMatchObject({ jobs: [{}, {}] });
    expect((await stat(stateFile)).mode & 0o777).toBe(0o600);
    await first.close();
    const second = await start({ stateFile });
    const taken = await worker(second, 'job-take-batch/w1?batch_size=9');
    expect(taken.json).toMatchObject(ids.map((id) => ({ id })));
  });
});
