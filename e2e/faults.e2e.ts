import path from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { JobReply } from '@export-jobs/protocol';
import type { Stack } from '../scripts/stack.ts';
import { download, endOf, exportOf, post, Viewer } from './support/http.ts';
import { cutFilm, inspect } from './support/media.ts';
import { descendants, isAlive, processes, until } from './support/processes.ts';
import { freshStack, IMPATIENT, STOPPED_FOR_LONG, temporaryFolder } from './support/stack.ts';

let stack: Stack;
let folder: string;
let film: string;
beforeAll(async () => {
  folder = await temporaryFolder('faults');
  stack = await freshStack({ ...IMPATIENT, rendererEnv: STOPPED_FOR_LONG });
  // Some seconds of work for the encoder, so that there is a middle to break into.
  film = await cutFilm(folder, { seconds: 8, width: 480, height: 270 });
});
afterAll(async () => await stack.close());
beforeEach(async () => {
  await until(
    'the stack answers',
    async () => (await fetch(`${stack.url}/healthz`).catch(() => null))?.ok,
  );
});

/** Slow enough to be met in the middle, also on a fast machine. */
const SLOW = { container: 'webm', codec: 'vp9', width: 480, height: 270, fps: 24 } as const;

/** Starts an export and waits until its encoder is at work. */
async function midway(): Promise<{ id: string; encoder: number }> {
  const { id } = await exportOf(stack.url, film, SLOW);
  const viewer = new Viewer(stack.url, id);
  await viewer.hears(({ job }) => job.status === 'processing' && job.progress > 5);
  viewer.close();
  const [renderer] = stack.renderers;
  const encoder = await until('an encoder runs', () =>
    descendants(renderer?.pid ?? 0).find(({ program }) => program === 'ffmpeg'),
  );
  return { id, encoder: encoder.pid };
}

async function expectWhole(id: string, attempts: number): Promise<void> {
  const ended = await endOf(stack.url, id);
  expect(ended).toMatchObject({ status: 'complete', verified: true });
  expect(ended.attempt).toBeLessThanOrEqual(attempts);
  const file = path.join(folder, `${id}.webm`);
  await download(stack.url, ended, file);
  expect(await inspect(file)).toMatchObject({ video: 'vp9', frames: 192 });
}

/** The two runtimes below wrangler: the one that runs our code, and the one in front of it. */
function runtimes() {
  const all = descendants(stack.worker.pid ?? 0).filter(({ args }) => args.includes('workerd'));
  const isFront = ({ args }: { args: string }) => args.includes(`entry=127.0.0.1:${stack.port} `);
  return { ours: all.find((runtime) => !isFront(runtime)), front: all.find(isFront) };
}

describe('a part that is killed in the middle of an export', () => {
  it.each(['ours', 'front'] as const)(
    'workerd (%s): the export goes on and ends complete',
    async (which) => {
      const { id } = await midway();
      const victim = runtimes()[which];
      if (!victim) throw new Error('there is no workerd');
      process.kill(victim.pid, 'SIGKILL');
      await expectWhole(id, 2);
    },
  );

  it('wrangler: it is started again, and nothing of the old one is left', async () => {
    const { id } = await midway();
    const pid = stack.worker.pid ?? 0;
    const below = descendants(pid).map((child) => child.pid);
    expect(below.length).toBeGreaterThan(0);
    process.kill(pid, 'SIGKILL');
    await until('the old runtimes are gone', () => !below.some((child) => isAlive(child)));
    await expectWhole(id, 2);
    expect(stack.worker.pid).not.toBe(pid);
  });

  it('the renderer: its encoder dies with it, and another attempt ends complete', async () => {
    const { id, encoder } = await midway();
    const [renderer] = stack.renderers;
    // It stands still, so that it cannot have come to its own end.
    process.kill(encoder, 'SIGSTOP');
    process.kill(renderer?.pid ?? 0, 'SIGKILL');
    await until('the encoder is gone', () => !isAlive(encoder));
    await expectWhole(id, 3);
  });

  it('the encoder alone: another attempt ends complete', async () => {
    const { id, encoder } = await midway();
    process.kill(encoder, 'SIGKILL');
    await expectWhole(id, 2);
  });
});

describe('cancelling in the middle of an export', () => {
  it('is seen, and ends the encoder, even one that stands still', async () => {
    const { id, encoder } = await midway();
    process.kill(encoder, 'SIGSTOP');
    const viewer = new Viewer(stack.url, id);
    await viewer.hears(() => true);
    const { job } = await post(`${stack.url}/api/jobs/${id}/cancel`, {}, JobReply);
    expect(job.status).toBe('cancelled');
    expect((await viewer.end()).status).toBe('cancelled');
    await until('the encoder is gone', () => !isAlive(encoder));
    // The renderer itself lives on and takes the next job.
    const next = await exportOf(stack.url, await cutFilm(folder, { seconds: 1, name: 'next.mp4' }));
    expect(await endOf(stack.url, next.id)).toMatchObject({ status: 'complete', attempt: 1 });
  });
});

describe('a second start on the same data', () => {
  it('keeps jobs, files and links', async () => {
    const short = await cutFilm(folder, { seconds: 1, name: 'kept.mp4' });
    const { id } = await exportOf(stack.url, short);
    const before = await endOf(stack.url, id);
    const { dataDir, port } = stack;
    await stack.close();
    stack = await freshStack({ ...IMPATIENT, dataDir, port });
    // Links are signed anew each time they are shown; the old one must go on working.
    expect({ ...(await endOf(stack.url, id)), output_url: '' }).toEqual({
      ...before,
      output_url: '',
    });
    const file = path.join(folder, 'kept-out.mp4');
    await download(stack.url, before, file);
    expect(await inspect(file)).toMatchObject({ frames: 24 });
  });

  it('finishes what was running when everything stopped', async () => {
    const { id } = await midway();
    const { dataDir, port } = stack;
    await stack.close();
    stack = await freshStack({ ...IMPATIENT, dataDir, port });
    await expectWhole(id, 3);
  });
});

describe('ending the stack', () => {
  it('leaves no process behind, not even in the middle of an export', async () => {
    const { encoder } = await midway();
    const parts = [stack.worker, ...stack.renderers].map((part) => part.pid ?? 0);
    const ours = parts.flatMap((pid) => [pid, ...descendants(pid).map((child) => child.pid)]);
    expect(ours).toContain(encoder);
    await stack.close();
    const left = processes().filter(({ pid }) => ours.includes(pid));
    expect(left).toEqual([]);
  });
});
