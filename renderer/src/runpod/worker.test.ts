import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, describe, expect, it, vi } from 'vitest';
import * as v from 'valibot';
import { pause } from './pause.ts';
import { startStandIn, type StandIn, type StandInOptions } from './stand-in.ts';
import { JobAborted, serve, type Handler } from './worker.ts';

const View = v.looseObject({ id: v.string(), status: v.string() });
const cleanups: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

async function standIn(options: Partial<StandInOptions> = {}): Promise<StandIn> {
  const started = await startStandIn({ port: 0, apiKey: 'key', ...options });
  cleanups.push(() => started.close());
  return started;
}

function work(queue: StandIn, handler: Handler, env: Record<string, string> = {}) {
  const shutdown = new AbortController();
  const lines: string[] = [];
  const ended = serve(handler, {
    env: { ...queue.workerEnv('w1'), RUNPOD_PING_INTERVAL: '200', ...env },
    shutdown: shutdown.signal,
    log: (_, message, fields) => lines.push(JSON.stringify({ message, ...fields })),
    retryMs: 50,
  });
  const stop = async () => {
    shutdown.abort();
    await ended;
  };
  cleanups.push(stop);
  return { stop, lines };
}

async function ask(queue: StandIn, path: string, method: string, body?: unknown) {
  const response = await fetch(`${queue.url}/v2/local/${path}`, {
    method,
    headers: { authorization: 'Bearer key' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  return v.parse(View, await response.json());
}
const run = (queue: StandIn, body: object = {}) =>
  ask(queue, 'run', 'POST', { input: { n: 1 }, ...body });

async function until(queue: StandIn, id: string, status: string) {
  return await vi.waitFor(
    async () => {
      const view = await ask(queue, `status/${id}`, 'GET');
      expect(view.status).toBe(status);
      return view;
    },
    { timeout: 8000, interval: 25 },
  );
}

const untilAborted = async (signal: AbortSignal) => {
  if (!signal.aborted) await once(signal, 'abort');
};

describe('a worker at the queue', () => {
  it('takes a job, does it, and delivers its output', async () => {
    const queue = await standIn();
    work(queue, async (job) => ({ output: { got: job.input } }));
    const { id } = await run(queue);
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({
      output: { got: { n: 1 } },
      workerId: 'w1',
    });
  });

  it('reports what a handler throws as the error of the job, without its text', async () => {
    const queue = await standIn();
    work(queue, async () => {
      throw new Error('secret');
    });
    const { id } = await run(queue);
    expect(await until(queue, id, 'FAILED')).toMatchObject({ error: 'the handler failed' });
  });

  it('loses no second between two jobs', async () => {
    const queue = await standIn();
    const starts: number[] = [];
    const ids = [await run(queue), await run(queue)];
    work(queue, async () => {
      starts.push(performance.now());
      return { output: 1 };
    });
    for (const { id } of ids) await until(queue, id, 'COMPLETED');
    expect((starts[1] ?? Infinity) - (starts[0] ?? 0)).toBeLessThan(300);
  });

  it('keeps its lease by pings for as long as it works', async () => {
    const queue = await standIn({ leaseMs: 600 });
    work(queue, async () => {
      await pause(1500);
      return { output: 1 };
    });
    const { id } = await run(queue);
    expect(await until(queue, id, 'COMPLETED')).not.toHaveProperty('retries');
  });

  it('gets the job again after it went silent, under the same id', async () => {
    const queue = await standIn({ leaseMs: 400 });
    const { id } = await run(queue);
    const silent = await fetch(`${queue.url}/v2/local/job-take/dead?gpu=local`, {
      headers: { authorization: 'key' },
    });
    expect(await silent.json()).toMatchObject({ id, input: { n: 1 } });
    work(queue, async () => ({ output: 1 }));
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({ retries: 1, workerId: 'w1' });
  });

  it('hears that its job was cancelled, and sends no result', async () => {
    const queue = await standIn();
    let reason: unknown;
    const { lines } = work(queue, async (_, { signal }) => {
      await untilAborted(signal);
      reason = signal.reason;
      return { output: 1 };
    });
    const { id } = await run(queue);
    await until(queue, id, 'IN_PROGRESS');
    const cancelledAt = performance.now();
    await ask(queue, `cancel/${id}`, 'POST');
    await vi.waitFor(() => expect(reason).toBeInstanceOf(JobAborted));
    expect(performance.now() - cancelledAt).toBeLessThan(1000);
    await vi.waitFor(() => expect(lines.join()).toContain('"outcome":"stopped"'));
    expect(lines.join()).not.toContain('refused');
    expect(await ask(queue, `status/${id}`, 'GET')).toMatchObject({ status: 'CANCELLED' });
  });

  it('ends within a second when it is idle', async () => {
    const queue = await standIn();
    const { stop, lines } = work(queue, async () => ({ output: 1 }));
    await vi.waitFor(() => expect(lines.join()).toContain('worker started'));
    const startedAt = performance.now();
    await stop();
    expect(performance.now() - startedAt).toBeLessThan(1000);
  });

  it('aborts a running job when it must end, and still delivers its result', async () => {
    const queue = await standIn();
    const { stop } = work(queue, async (_, { signal }) => {
      await untilAborted(signal);
      return { error: signal.reason instanceof JobAborted ? signal.reason.kind : '?' };
    });
    const { id } = await run(queue);
    await until(queue, id, 'IN_PROGRESS');
    await stop();
    expect(await ask(queue, `status/${id}`, 'GET')).toMatchObject({ error: 'shutdown' });
  });

  it('answers a job that arrives while it ends, so that it is not lost', async () => {
    const answers: string[] = [];
    let polled = () => undefined as void;
    const polling = new Promise<void>((resolve) => (polled = resolve));
    const server = createServer((request, response) => {
      if (request.url?.startsWith('/job-take')) {
        polled();
        setTimeout(() => response.end(JSON.stringify({ id: 'late', input: { n: 1 } })), 150);
      } else if (request.method === 'POST') {
        request.on('data', (part) => answers.push(String(part)));
        request.on('end', () => response.end('{}'));
      } else response.end('{}');
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(async () => {
      server.closeAllConnections();
      server.close();
    });
    const address = server.address();
    const base = `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`;
    const queue = await standIn();
    const { stop } = work(queue, async () => ({ output: 'done' }), {
      RUNPOD_WEBHOOK_GET_JOB: `${base}/job-take/$ID`,
      RUNPOD_WEBHOOK_POST_OUTPUT: `${base}/job-done/$RUNPOD_POD_ID/$ID`,
    });
    await polling;
    await stop();
    expect(answers).toEqual(['{"error":"worker shutting down"}']);
  });

  it('repeats a result that finds the queue away, and keeps the job meanwhile', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'queue-'));
    cleanups.push(() => rm(folder, { recursive: true }));
    const stateFile = join(folder, 'queue.json');
    const first = await startStandIn({ port: 0, apiKey: 'key', stateFile });
    let finish = () => undefined as void;
    const finishing = new Promise<void>((resolve) => (finish = resolve));
    work(first, async () => {
      await finishing;
      return { output: 'kept' };
    });
    const { id } = await run(first);
    await until(first, id, 'IN_PROGRESS');
    await first.close();
    finish();
    await pause(300);
    const second = await standIn({ port: first.port, stateFile });
    expect(await until(second, id, 'COMPLETED')).toMatchObject({ output: 'kept' });
  });

  it('names what is missing in an environment that is not a worker’s', async () => {
    const shutdown = new AbortController().signal;
    await expect(serve(async () => ({ output: 1 }), { env: {}, shutdown })).rejects.toThrow(
      'RUNPOD_WEBHOOK_GET_JOB',
    );
  });
});

describe('the stand-in', () => {
  it('loses no queued job when it is started again, and keeps the file private', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'queue-'));
    cleanups.push(() => rm(folder, { recursive: true }));
    const stateFile = join(folder, 'queue.json');
    const first = await startStandIn({ port: 0, apiKey: 'key', stateFile });
    const ids = [await run(first), await run(first)].map(({ id }) => id);
    expect(JSON.parse(await readFile(stateFile, 'utf8'))).toMatchObject({ jobs: [{}, {}] });
    await first.close();
    const second = await standIn({ stateFile });
    const done: string[] = [];
    work(second, async (job) => {
      done.push(job.id);
      return { output: 1 };
    });
    for (const id of ids) await until(second, id, 'COMPLETED');
    expect(done).toEqual(ids);
  });

  it('refuses wrong keys, unknown jobs, empty input and policies out of bounds', async () => {
    const queue = await standIn();
    const status = async (path: string, init: RequestInit) =>
      (await fetch(`${queue.url}/v2/${path}`, init)).status;
    const client = { authorization: 'Bearer key' };
    const post = (body: string) => ({ method: 'POST', headers: client, body });
    expect(await status('local/health', { headers: { authorization: 'key' } })).toBe(401);
    expect(await status('local/ping/w1', { headers: client })).toBe(401);
    expect(await status('other/health', { headers: client })).toBe(404);
    expect(await status('local/status/none', { headers: client })).toBe(404);
    expect(await status('local/run', { headers: client })).toBe(405);
    expect(await status('local/run', post('{'))).toBe(400);
    expect(await status('local/run', post('{"input":{}}'))).toBe(400);
    expect(await status('local/run', post('{"input":{"a":1},"policy":{"ttl":1}}'))).toBe(400);
    const done = { method: 'POST', headers: { authorization: 'key' }, body: '{"output":1}' };
    expect(await status('local/job-done/w1/none', done)).toBe(400);
  });

  it('repeats a webhook until it is answered with 200', async () => {
    const calls: string[] = [];
    const server = createServer((request, response) => {
      request.on('data', (part) => calls.push(String(part)));
      request.on('end', () => response.writeHead(calls.length < 3 ? 204 : 200).end());
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    cleanups.push(async () => server.close());
    const address = server.address();
    const port = typeof address === 'object' && address ? address.port : 0;
    const queue = await standIn({ webhookRetryMs: 20 });
    work(queue, async () => ({ output: 'x' }));
    const { id } = await run(queue, { webhook: `http://127.0.0.1:${port}/hook` });
    await vi.waitFor(() => expect(calls).toHaveLength(3));
    expect(JSON.parse(calls[2] ?? '')).toMatchObject({ id, status: 'COMPLETED', output: 'x' });
  });
});
