import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, open, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { digestOf } from './file-digest.ts';

it.each([
  [0, 10, 1],
  [5, 10, 1],
  [10, 10, 1],
  [11, 10, 2],
  [3_500_000, 1_000_000, 4],
])('a file of %d bytes in parts of %d has %d of them', async (size, partSize, count) => {
  const folder = await mkdtemp(join(tmpdir(), 'digest-'));
  try {
    const bytes = randomBytes(size);
    const path = join(folder, 'file');
    await writeFile(path, bytes);
    const handle = await open(path);
    const digest = await digestOf({ handle, size }, partSize, new AbortController().signal);
    await handle.close();
    const parts = Array.from({ length: count }, (_, i) =>
      createHash('md5')
        .update(bytes.subarray(i * partSize, (i + 1) * partSize))
        .digest(),
    );
    expect(digest).toEqual({
      sha256: createHash('sha256').update(bytes).digest('hex'),
      parts: parts.map((md5) => md5.toString('base64')),
      checksum: `${createHash('md5').update(Buffer.concat(parts)).digest('hex')}-${count}`,
    });
  } finally {
    await rm(folder, { recursive: true });
  }
});
