import { mkdir, mkdtemp, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, it } from 'vitest';
import { hashOf } from './build.ts';

it('the hash of a folder changes with names and bytes, and ignores what is built', async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-hash-'));
  const hash = async () => await hashOf([folder]);
  await mkdir(path.join(folder, 'deep', 'dist'), { recursive: true });
  await writeFile(path.join(folder, 'deep', 'a.ts'), 'one');
  const first = await hash();
  expect(await hash()).toBe(first);
  await writeFile(path.join(folder, 'deep', 'dist', 'out.js'), 'built');
  expect(await hash()).toBe(first);
  await writeFile(path.join(folder, 'deep', 'a.ts'), 'two');
  const second = await hash();
  expect(second).not.toBe(first);
  await rename(path.join(folder, 'deep', 'a.ts'), path.join(folder, 'deep', 'b.ts'));
  expect(await hash()).not.toBe(second);
});
