import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chown, link, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openOutput, piecesOf } from './output-file.ts';

const BYTES = randomBytes(700_000);
let folder: string;
let path: string;
let secret: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'output-'));
  path = join(folder, 'output.mp4');
  secret = join(folder, 'secret');
  await writeFile(secret, 'secret');
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function read(start: number, size: number, meanwhile = async () => {}): Promise<Buffer> {
  const file = await openOutput(path);
  try {
    await meanwhile();
    const pieces: Buffer[] = [];
    for await (const piece of piecesOf(file, start, size)) pieces.push(piece);
    return Buffer.concat(pieces);
  } finally {
    await file.handle.close();
  }
}

describe('what a tool has made', () => {
  it('is read from where it is asked, and no further than it goes', async () => {
    await writeFile(path, BYTES);
    expect((await read(0, BYTES.length)).equals(BYTES)).toBe(true);
    expect((await read(300_001, 300_000)).equals(BYTES.subarray(300_001, 600_001))).toBe(true);
    expect((await read(699_000, 9000)).equals(BYTES.subarray(699_000))).toBe(true);
  });

  it('stays the same file when another, or a link, is put in its place', async () => {
    await writeFile(path, BYTES);
    const bytes = await read(0, BYTES.length, async () => {
      await rename(path, join(folder, 'elsewhere'));
      await symlink(secret, path);
    });
    expect(bytes.equals(BYTES)).toBe(true);
  });

  const wrongs: Record<string, () => unknown> = {
    'a link': () => symlink(secret, path),
    'another name of a file': () => link(secret, path),
    'a pipe': () => execFileSync('mkfifo', [path]),
    'a folder': () => mkdir(path),
    nothing: () => undefined,
    'an empty file': () => writeFile(path, ''),
  };
  it.each(Object.entries(wrongs))('is not sent when it is %s', async (_, make) => {
    await make();
    await expect(openOutput(path)).rejects.toMatchObject({ code: 'output_rejected' });
  });

  it.skipIf(process.getuid?.() !== 0)('is not sent when it belongs to another user', async () => {
    await writeFile(path, BYTES);
    await chown(folder, 50_000, 50_000);
    await expect(openOutput(path)).rejects.toMatchObject({ code: 'output_rejected' });
    await chown(path, 50_000, 50_000);
    expect((await read(0, BYTES.length)).equals(BYTES)).toBe(true);
  });
});
