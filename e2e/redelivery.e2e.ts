// A worker whose whole machine stands still: RunPod gives its job to another, and then it wakes up.
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stack } from '../scripts/stack.ts';
import { download, endOf, exportOf, Viewer } from './support/http.ts';
import { cutFilm, inspect } from './support/media.ts';
import { descendants, until } from './support/processes.ts';
import { freshStack, IMPATIENT, STOPPED_FOR_LONG, temporaryFolder } from './support/stack.ts';

let stack: Stack;
let folder: string;
beforeAll(async () => {
  folder = await temporaryFolder('redelivery');
  // The provider gives a silent worker up long before the server would.
  const policy = { ...IMPATIENT.policy, lease_ms: 60_000 };
  const rendererEnv = { RUNPOD_PING_INTERVAL: '500', ...STOPPED_FOR_LONG };
  stack = await freshStack({ ...IMPATIENT, policy, renderers: 2, rendererEnv });
});
afterAll(async () => await stack.close());

const encodersOf = (pid: number) => descendants(pid).filter(({ program }) => program === 'ffmpeg');

/** The renderer that is encoding now. */
async function whoEncodes(): Promise<number> {
  return await until('an encoder runs', () =>
    stack.renderers.map(({ pid }) => pid ?? 0).find((pid) => encodersOf(pid).length > 0),
  );
}

describe('a job that is delivered twice', () => {
  it('ends complete once, with the newer process’s file, and the older one stops by itself', async () => {
    const film = await cutFilm(folder, { seconds: 8, width: 480, height: 270 });
    const options = { container: 'webm', codec: 'vp9', width: 480, height: 270, fps: 24 } as const;
    const { id } = await exportOf(stack.url, film, options);
    const viewer = new Viewer(stack.url, id);
    await viewer.hears(({ job }) => job.status === 'processing' && job.progress > 5);
    const older = await whoEncodes();
    const encoders = encodersOf(older).map(({ pid }) => pid);
    const frozen = [older, ...descendants(older).map(({ pid }) => pid)];
    for (const pid of frozen) process.kill(pid, 'SIGSTOP');

    await viewer.hears(({ job }) => job.status === 'processing' && job.last_failure !== null);
    const newer = await until('another renderer encodes', () =>
      stack.renderers
        .map(({ pid }) => pid ?? 0)
        .find((pid) => pid !== older && encodersOf(pid).length > 0),
    );
    // All but its encoder wakes up, so that this cannot come to its own end.
    for (const pid of frozen) if (!encoders.includes(pid)) process.kill(pid, 'SIGCONT');
    await until('the older encoder is gone', () => encodersOf(older).length === 0);
    expect(encodersOf(newer)).toHaveLength(1);

    const ended = await viewer.end();
    expect(ended).toMatchObject({ status: 'complete', verified: true, attempt: 1 });
    expect(ended.status === 'complete' && ended.output_video_key).toContain(`/${id}/1/2/`);
    viewer.close();
    const ends = viewer.heard.filter(({ type }) => type === 'complete' || type === 'error');
    expect(ends.map(({ type }) => type)).toEqual(['complete']);
    const file = path.join(folder, 'out.webm');
    await download(stack.url, ended, file);
    expect(await inspect(file)).toMatchObject({ video: 'vp9', frames: 192 });
  });

  it('leaves both workers fit for the next', async () => {
    const film = await cutFilm(folder, { seconds: 1, width: 480, height: 270 });
    const both = await Promise.all([exportOf(stack.url, film), exportOf(stack.url, film)]);
    for (const { id } of both) expect(await endOf(stack.url, id)).toMatchObject({ attempt: 1 });
  });
});
