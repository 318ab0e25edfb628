import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ErrorBody } from '@export-jobs/protocol';
import * as v from 'valibot';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { startStandIn, type StandIn } from '../src/runpod/stand-in/index.ts';
import { startFakeServer } from './fake-server.ts';
import { binWith, ffmpeg, IN_SECONDS, PICTURE_AND_TONE, Studio } from './media.ts';

const MAIN = fileURLToPath(import.meta.resolve('../src/main.ts'));
const KEY = 'rp-secret-key';
const cleanup: (() => Promise<unknown>)[] = [];
let studio: Studio;
let film: Buffer;
beforeAll(async () => {
  studio = await Studio.open();
  if (ffmpeg)
    film = await readFile(await studio.make('f.mp4', PICTURE_AND_TONE(60, '640x360', 30)));
});
afterEach(async () => {
  for (const undo of cleanup.splice(0).toReversed()) await undo();
});
afterAll(async () => {
  await studio.close();
});

async function startRenderer(env: Record<string, string> = {}) {
  const queue = await startStandIn({ port: 0, apiKey: KEY, holdMs: 60_000 });
  cleanup.push(() => queue.close());
  const { PATH = '' } = process.env;
  const child = spawn(process.execPath, [MAIN], {
    env: { PATH, RENDERER_TMP: studio.root, ...queue.workerEnv('w1'), ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.on('data', (part) => (output += String(part)));
  cleanup.push(async () => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL');
  });
  const says = (text: string) =>
    vi.waitFor(() => expect(output).toContain(text), { timeout: 60_000, interval: 20 });
  return { queue, child, says, output: () => output };
}

async function submit(queue: StandIn, input: unknown): Promise<void> {
  const response = await fetch(`${queue.url}/v2/local/run`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}` },
    body: JSON.stringify({ input }),
  });
  expect(response.status).toBe(200);
}

async function endAfter(child: ChildProcess, signal: NodeJS.Signals): Promise<[unknown, number]> {
  const startedAt = performance.now();
  const exit = once(child, 'exit');
  child.kill(signal);
  await exit;
  return [child.exitCode, performance.now() - startedAt];
}

const folders = async () =>
  (await readdir(studio.root)).filter((name) => name.startsWith('export-render-'));

describe.skipIf(!ffmpeg)('the renderer’s process', () => {
  it('does not wait for its poll when it must end and is idle', async () => {
    const { child, says } = await startRenderer();
    await says('worker started');
    const [code, ms] = await endAfter(child, 'SIGTERM');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(IN_SECONDS);
  });

  it('tells the server when it must end in the middle of a render, and shows no secret', async () => {
    const server = await startFakeServer({ source: film, reportMs: 100 });
    cleanup.push(() => server.close());
    const { queue, child, says, output } = await startRenderer();
    await submit(queue, server.ticket);
    await says('"rendering"');
    const [code, ms] = await endAfter(child, 'SIGTERM');
    expect(code).toBe(0);
    expect(ms).toBeLessThan(IN_SECONDS);
    const said = server.said('error').map((body) => v.parse(ErrorBody, body));
    expect(said).toMatchObject([{ code: 'renderer_shutdown' }]);
    expect(await folders()).toEqual([]);
    expect(output()).not.toContain(KEY);
    expect(output()).not.toContain(server.ticket.token);
  });

  it('removes what a killed process left behind', async () => {
    const dead = spawn('true');
    await once(dead, 'exit');
    await mkdir(join(studio.root, `export-render-${dead.pid}-abc`, 'x'), { recursive: true });
    const { child, says } = await startRenderer();
    await says('worker started');
    expect(await folders()).toEqual([]);
    await endAfter(child, 'SIGTERM');
  });

  it('takes nothing where a GPU is required and none can encode, and RunPod is told', async () => {
    const { queue, child } = await startRenderer({ RENDERER_REQUIRE_GPU: '1' });
    await once(child, 'exit');
    expect(child.exitCode).toBe(1);
    expect(queue.trace().map(({ op, query }) => [op, query['status'], query['check']])).toEqual([
      ['ping', 'unhealthy', 'gpu'],
    ]);
  });

  it('takes nothing where ffmpeg must be confined and cannot be, and RunPod is told', async () => {
    const bin = await binWith(studio.root, 'exit 1', 'setpriv', 'unshare');
    const poor = { PATH: `${bin}:${process.env['PATH']}` };
    const { queue, child } = await startRenderer({ ...poor, RENDERER_REQUIRE_CONFINED: '1' });
    await once(child, 'exit');
    expect(child.exitCode).toBe(1);
    expect(queue.trace().map(({ op, query }) => [op, query['status'], query['check']])).toEqual([
      ['ping', 'unhealthy', 'confinement'],
    ]);
    const free = await startRenderer({ ...poor, RENDERER_REQUIRE_CONFINED: '0' });
    await free.says('worker started');
    expect(free.output()).toContain('ffmpeg cannot be confined');
    await endAfter(free.child, 'SIGTERM');
  });

  it('says what is missing when it cannot start', async () => {
    const { child, output } = await startRenderer({ RUNPOD_WEBHOOK_PING: '' });
    await once(child, 'exit');
    expect(child.exitCode).toBe(1);
    expect(output()).toContain('RUNPOD_WEBHOOK_PING');
  });
});
