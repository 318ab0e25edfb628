import { copyFile, truncate, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stack } from '../scripts/stack.ts';
import { exportOf, Viewer } from './support/http.ts';
import { cutFilm, ffmpeg } from './support/media.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';

let stack: Stack;
let folder: string;
beforeAll(async () => {
  [stack, folder] = await Promise.all([freshStack(), temporaryFolder('bad')]);
});
afterAll(async () => await stack.close());

/** How each broken file is made, and which failures say so truly. */
const BROKEN: Readonly<Record<string, { codes: string[]; make: (file: string) => Promise<void> }>> =
  {
    'an empty file': {
      codes: ['input_empty'],
      make: async (file) => await writeFile(file, ''),
    },
    'a text that is called .mp4': {
      codes: ['input_invalid'],
      make: async (file) => await writeFile(file, 'This is not a film.\n'.repeat(500)),
    },
    'a film that is cut off in the middle': {
      codes: ['input_damaged', 'input_invalid'],
      make: async (file) => {
        await copyFile(await cutFilm(folder, { name: 'to-cut.mp4' }), file);
        await truncate(file, 100_000);
      },
    },
    'a film with a good head and half of its pictures': {
      codes: ['input_damaged'],
      make: async (file) => {
        const whole = await cutFilm(folder, { name: 'to-halve.mp4' });
        await ffmpeg('-i', whole, '-c', 'copy', '-movflags', '+faststart', file);
        await truncate(file, 300_000);
      },
    },
    'sound without a picture': {
      codes: ['input_no_video'],
      make: async (file) => {
        const tone = ['-f', 'lavfi', '-i', 'sine=d=2', '-c:a', 'aac', '-f', 'mp4'];
        await ffmpeg(...tone, file);
      },
    },
  };

describe('an input that cannot be exported', () => {
  it.each(Object.entries(BROKEN))('%s: says why, at once and once', async (name, broken) => {
    const file = path.join(folder, `${name}.mp4`);
    await broken.make(file);
    const job = await exportOf(stack.url, file);
    const viewer = new Viewer(stack.url, job.id);
    const ended = await viewer.end();
    if (ended.status !== 'error') throw new Error(`it ended as ${ended.status}`);
    expect(broken.codes).toContain(ended.error_code);
    expect(ended.attempt).toBe(1);
    expect(ended.error).toMatch(/^[A-Z].*\.$/);
    // The reason is meant for people: no path, no address, no tool's own words.
    expect(ended.error).not.toMatch(/\/|http|ffmpeg|moov/i);
    const last = await viewer.hears((message) => message.type === 'error');
    expect(last).toMatchObject({ error: ended.error });
  });

  it('a piece beyond the end of the film: says that the settings do not fit', async () => {
    const film = await cutFilm(folder, { seconds: 1, name: 'short.mp4' });
    const job = await exportOf(stack.url, film, { trim: { start: 100, end: 200 } });
    const ended = await new Viewer(stack.url, job.id).end();
    expect(ended).toMatchObject({ status: 'error', error_code: 'options_invalid', attempt: 1 });
  });
});
