import { stat } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { Stack } from '../scripts/stack.ts';
import { download, endOf, exportOf } from './support/http.ts';
import { cutFilm, inspect, lengthen } from './support/media.ts';
import { descendants, peakMemory } from './support/processes.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';

const SIZE = 1_000_000_000;
/** What a process may hold at most while all of it flows through, bytes: its own size and buffers. */
const MEMORY = 600_000_000;

let stack: Stack;
let folder: string;
beforeAll(async () => {
  [stack, folder] = await Promise.all([freshStack(), temporaryFolder('big')]);
});
afterAll(async () => await stack.close());

it('a film of a gigabyte flows through, and no process ever holds it', async () => {
  const film = await cutFilm(folder, { seconds: 1, name: 'big.mp4' });
  await lengthen(film, SIZE);
  expect((await stat(film)).size).toBe(SIZE);
  const { id } = await exportOf(stack.url, film);
  const ended = await endOf(stack.url, id);
  expect(ended).toMatchObject({ status: 'complete', attempt: 1, input_size: SIZE });
  const file = path.join(folder, 'out.mp4');
  await download(stack.url, ended, file);
  expect(await inspect(file)).toMatchObject({ frames: 24 });

  const peaks = [stack.worker, ...stack.renderers].flatMap(({ name, pid = 0 }) =>
    [{ pid, program: name }, ...descendants(pid)].map((process) => [
      process.program,
      peakMemory(process.pid),
    ]),
  );
  expect(peaks.map(([name]) => name)).toContain('workerd');
  for (const [name, peak] of peaks) expect(peak, `memory of ${name}`).toBeLessThan(MEMORY);
});
