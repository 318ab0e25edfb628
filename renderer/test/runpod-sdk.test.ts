// RunPod's own client, unchanged, against the stand-in, with the real worker runtime behind it.
import { execFile } from 'node:child_process';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import runpodSdk from 'runpod-sdk';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { renderJob } from '../src/job.ts';
import { JobAborted, serve, type Handler } from '../src/runpod/index.ts';
import { startStandIn, type StandIn } from '../src/runpod/stand-in/index.ts';
import { startFakeServer } from './fake-server.ts';
import { ffmpeg, PICTURE_AND_TONE, Studio } from './media.ts';

const KEY = 'rp-key';
/** What the client adds to the platform's answer. */
const ADDED = { started: true, completed: true, succeeded: true };

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(async () => {
  await studio.close();
});

async function open() {
  const queue = await startStandIn({ port: 0, apiKey: KEY });
  onTestFinished(() => queue.close());
  return { queue, endpoint: endpointOf(queue, KEY) };
}

function endpointOf(queue: StandIn, key: string) {
  const endpoint = runpodSdk(key, { baseUrl: `${queue.url}/v2` }).endpoint('local');
  if (!endpoint) throw new Error('the client gave no endpoint');
  return endpoint;
}

function work(queue: StandIn, handler: Handler): void {
  const shutdown = new AbortController();
  const env = { ...queue.workerEnv('w1'), RUNPOD_PING_INTERVAL: '500' };
  const ended = serve(handler, { env, shutdown: shutdown.signal, log: () => undefined });
  onTestFinished(async () => {
    shutdown.abort();
    await ended;
  });
}

/** Waits for an assertion to hold. */
const soon = <T>(check: () => T | Promise<T>) =>
  vi.waitFor(check, { timeout: 60_000, interval: 25 });

/** Resolves once the queue has heard this. */
const heard = (queue: StandIn, op: string) =>
  soon(() => expect(queue.trace().map((call) => call.op)).toContain(op));

const over = async (endpoint: ReturnType<typeof endpointOf>, id: string) =>
  await soon(async () => {
    const view = await endpoint.status(id);
    expect(view).toMatchObject({ completed: true });
    return view;
  });

describe('RunPod’s client at the stand-in', () => {
  it('runs a job and asks for its status until it is over', async () => {
    const { queue, endpoint } = await open();
    work(queue, async ({ input }) => ({ output: { got: input } }));
    const accepted = await endpoint.run({ input: { n: 1 }, policy: { executionTimeout: 5000 } });
    expect(accepted).toEqual({ id: accepted.id, status: 'IN_QUEUE' });
    const view = await over(endpoint, accepted.id);
    const output = { got: { n: 1 } };
    expect(view).toMatchObject({ id: accepted.id, status: 'COMPLETED', output, ...ADDED });
    const run = queue.trace().find(({ op }) => op === 'run');
    expect(run?.headers).toMatchObject({ authorization: 'bearer' });
    expect(run?.headers['user-agent']).toContain('RunPod-JS-SDK/1.1.2');
  });

  it('runs a job and waits for it in the same call', async () => {
    const { queue, endpoint } = await open();
    work(queue, async () => ({ output: 'done' }));
    const view = await endpoint.runSync({ input: { n: 1 } });
    expect(view).toMatchObject({ status: 'COMPLETED', output: 'done', ...ADDED });
    expect(view.id).toMatch(/^sync-/);
    const calls = queue.trace().filter(({ op }) => op === 'runsync' || op === 'status-sync');
    expect(calls).toMatchObject([{ op: 'runsync', query: { wait: '90000' } }]);
  });

  it('goes on waiting in further calls when the first was too short', async () => {
    const { queue, endpoint } = await open();
    let release = () => undefined as void;
    const released = new Promise<void>((resolve) => (release = resolve));
    work(queue, async () => {
      await released;
      return { output: 'late' };
    });
    const waited = endpoint.runSync({ input: { n: 1 } }, 1000);
    await heard(queue, 'status-sync');
    release();
    expect(await waited).toMatchObject({ status: 'COMPLETED', output: 'late', ...ADDED });
  });

  it('streams what the worker yields, while it is yielded', async () => {
    const { queue, endpoint } = await open();
    let next = () => undefined as void;
    work(queue, async function* () {
      for (const chunk of ['a', 'b', 'c']) {
        const asked = new Promise<void>((resolve) => (next = resolve));
        yield chunk;
        await asked;
      }
    });
    const { id } = await endpoint.run({ input: { n: 1 } });
    const chunks: unknown[] = [];
    for await (const chunk of endpoint.stream(id)) {
      chunks.push(chunk);
      next();
    }
    expect(chunks).toEqual([{ output: 'a' }, { output: 'b' }, { output: 'c' }]);
    expect(await endpoint.status(id)).toMatchObject({ status: 'COMPLETED' });
  });

  it('cancels a running job, whose worker then stops, and a waiting one', async () => {
    const { queue, endpoint } = await open();
    let reason: unknown;
    work(queue, async (_, { signal }) => {
      if (!signal.aborted) await once(signal, 'abort');
      reason = signal.reason;
      return { output: 'too late' };
    });
    const running = await endpoint.run({ input: { n: 1 } });
    await heard(queue, 'job-take');
    await soon(async () =>
      expect(await endpoint.status(running.id)).toMatchObject({ status: 'IN_PROGRESS' }),
    );
    const waiting = await endpoint.run({ input: { n: 2 } });
    // Its type promises times here; a job that never ran has none.
    expect(await endpoint.cancel(waiting.id)).toEqual({ id: waiting.id, status: 'CANCELLED' });
    expect(await endpoint.cancel(running.id)).toMatchObject({ status: 'CANCELLED' });
    await soon(() => expect(reason).toBeInstanceOf(JobAborted));
    const view = { status: 'CANCELLED', completed: true, succeeded: false };
    expect(await endpoint.status(running.id)).toMatchObject(view);
    expect(queue.trace().filter(({ op }) => op === 'job-done')).toEqual([]);
  });

  it('sees how the endpoint is, and empties its queue', async () => {
    const { queue, endpoint } = await open();
    for (const n of [1, 2, 3]) await endpoint.run({ input: { n } });
    const jobs = { completed: 0, failed: 0, inProgress: 0, inQueue: 3, retried: 0 };
    // Its type knows nothing of `unhealthy`, which the platform shows.
    const workers = { idle: 0, initializing: 0, ready: 0, running: 0, throttled: 0, unhealthy: 0 };
    expect(await endpoint.health()).toEqual({ jobs, workers });
    expect(await endpoint.purgeQueue()).toEqual({ removed: 3, status: 'completed' });
    work(queue, async () => ({ output: 1 }));
    await soon(async () =>
      expect(await endpoint.health()).toEqual({
        jobs: { ...jobs, inQueue: 0 },
        workers: { ...workers, idle: 1, ready: 1 },
      }),
    );
  });

  it('tells a wrong key, an unknown job and a full platform by their status', async () => {
    const { queue, endpoint } = await open();
    await expect(endpointOf(queue, 'another').health()).rejects.toThrow('status code 401');
    await expect(endpoint.status('none')).rejects.toThrow('status code 404');
    queue.script([{ on: 'run', nth: 1, fault: { status: 429 } }]);
    await expect(endpoint.run({ input: { n: 1 } })).rejects.toThrow('status code 429');
    expect(await endpoint.run({ input: { n: 1 } })).toMatchObject({ status: 'IN_QUEUE' });
  });

  it('gives up on a slow /run whose job is made all the same', async () => {
    const { queue, endpoint } = await open();
    queue.script([{ on: 'run', fault: { delayMs: 300 } }]);
    await expect(endpoint.run({ input: { n: 1 } }, 50)).rejects.toThrow('timeout of 50ms exceeded');
    await soon(async () => expect(await endpoint.health()).toMatchObject({ jobs: { inQueue: 1 } }));
  });
});

const Streams = v.object({
  streams: v.array(v.looseObject({ codec_name: v.string(), nb_read_frames: v.string() })),
});

describe.skipIf(!ffmpeg)('RunPod’s client and the renderer (skipped without ffmpeg)', () => {
  it('make an export, from the ticket to a file that plays', async () => {
    if (!ffmpeg) throw new Error('there is no ffmpeg here');
    const setup = { ffmpeg, root: studio.root };
    const source = await readFile(await studio.make('film.mp4', PICTURE_AND_TONE(2)));
    const server = await startFakeServer({ source });
    onTestFinished(() => server.close());
    const { queue, endpoint } = await open();
    work(queue, (job, context) => renderJob(job, context, setup));

    const { id } = await endpoint.run({ input: server.ticket });

    const key = 'out/t/j/1/1/film.mp4';
    const view = await over(endpoint, id);
    const file = server.stored[0] ?? Buffer.alloc(0);
    const output = { complete: true, key, size: file.length };
    expect(view).toMatchObject({ id, status: 'COMPLETED', output, ...ADDED });
    expect(server.said('claim')).toMatchObject([{ provider_job_id: id, worker_id: 'w1' }]);
    expect(server.said('complete')).toMatchObject([{ output_video_key: key }]);
    expect(server.said('error')).toEqual([]);
    const path = join(studio.root, 'output.mp4');
    await writeFile(path, file);
    const args = ['-v', 'error', '-of', 'json', '-count_frames', '-show_streams', path];
    const { stdout, stderr } = await promisify(execFile)(ffmpeg.tools.ffprobe, args);
    expect(stderr).toBe('');
    expect(v.parse(Streams, JSON.parse(stdout)).streams).toMatchObject([
      { codec_name: 'h264', nb_read_frames: '50' },
      { codec_name: 'aac' },
    ]);
  });
});
