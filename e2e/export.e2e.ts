import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stack } from '../scripts/stack.ts';
import { download, endOf, exportOf, jobOf, Viewer } from './support/http.ts';
import { cutFilm, inspect } from './support/media.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';

let stack: Stack;
let folder: string;
beforeAll(async () => {
  [stack, folder] = await Promise.all([freshStack(), temporaryFolder('media')]);
});
afterAll(async () => await stack.close());

describe('a whole export', () => {
  it('turns an upload into a file with every frame, while progress only grows', async () => {
    const film = await cutFilm(folder);
    const job = await exportOf(stack.url, film, { width: 160, quality: 40 });
    const viewer = new Viewer(stack.url, job.id);
    const ended = await viewer.end();
    viewer.close();
    expect(ended).toMatchObject({ status: 'complete', progress: 100, attempt: 1, verified: true });

    const progress = viewer.heard.map((message) => message.job.progress);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    const order = viewer.heard.map((message) => message.seq);
    expect(order).toEqual(order.toSorted((a, b) => a - b));
    // Changes have numbers of their own; the end is told once as a state and once as an end at most.
    const changes = viewer.heard.filter(({ type }) => type !== 'progress').map(({ seq }) => seq);
    expect(new Set(changes).size).toBe(changes.length);
    expect(viewer.heard.at(-1)?.type).toBe('complete');

    const file = path.join(folder, 'out.mp4');
    const response = await download(stack.url, ended, file);
    expect(response.headers.get('content-type')).toBe('video/mp4');
    expect(response.headers.get('content-disposition')).toContain('attachment');
    expect(await inspect(file)).toMatchObject({
      video: 'h264',
      audio: 'aac',
      width: 160,
      height: 90,
      frames: 96,
    });
  });

  it.each([
    ['webm', 'vp9', 'opus'],
    ['mov', 'h264', 'aac'],
    ['gif', 'gif', undefined],
  ] as const)('makes a %s', async (container, video, audio) => {
    const film = await cutFilm(folder, { seconds: 1 });
    const job = await exportOf(stack.url, film, { container, width: 128, height: 72, fps: 12 });
    const ended = await endOf(stack.url, job.id);
    const file = path.join(folder, `out.${container}`);
    await download(stack.url, ended, file);
    expect(await inspect(file)).toMatchObject({ video, audio, width: 128, height: 72, frames: 12 });
  });

  it('cuts the piece that was asked for, without its sound', async () => {
    const film = await cutFilm(folder);
    const options = { trim: { start: 1, end: 2.5 }, mute: true } as const;
    const ended = await endOf(stack.url, (await exportOf(stack.url, film, options)).id);
    const file = path.join(folder, 'cut.mp4');
    await download(stack.url, ended, file);
    const found = await inspect(file);
    expect(found).toMatchObject({ frames: 36 });
    expect(found.audio).toBeUndefined();
  });

  it('takes a name with spaces, quotes and an emoji, and gives it back', async () => {
    const film = await cutFilm(folder, { seconds: 1, name: 'my "best" film 🎬 äö.mp4' });
    const ended = await endOf(stack.url, (await exportOf(stack.url, film)).id);
    expect(ended).toMatchObject({ status: 'complete', filename: 'my "best" film 🎬 äö.mp4' });
    const response = await download(stack.url, ended, path.join(folder, 'named.mp4'));
    const disposition = response.headers.get('content-disposition') ?? '';
    expect(decodeURIComponent(disposition)).toContain('🎬');
  });

  it('serves any part of the file, for players that seek', async () => {
    const film = await cutFilm(folder, { seconds: 1 });
    const ended = await endOf(stack.url, (await exportOf(stack.url, film)).id);
    const file = path.join(folder, 'whole.mp4');
    await download(stack.url, ended, file);
    if (ended.status !== 'complete') throw new Error('not complete');
    const part = await fetch(new URL(ended.output_url, stack.url), {
      headers: { range: 'bytes=100-199' },
    });
    expect(part.status).toBe(206);
    const whole = await readFile(file);
    expect(Buffer.from(await part.arrayBuffer()).equals(whole.subarray(100, 200))).toBe(true);
  });

  it('goes on when nobody watches, and tells whoever comes later', async () => {
    const film = await cutFilm(folder, { seconds: 1 });
    const { id } = await exportOf(stack.url, film);
    const first = new Viewer(stack.url, id);
    await first.hears(() => true);
    first.close();
    const [one, two] = await Promise.all([endOf(stack.url, id), endOf(stack.url, id)]);
    expect(one).toMatchObject({ status: 'complete', seq: two.seq });
    expect(await jobOf(stack.url, id)).toMatchObject({ status: 'complete', seq: one.seq });
  });
});
