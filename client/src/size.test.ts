import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import { build } from 'esbuild';
import { describe, expect, it } from 'vitest';

// What a page must load before it can watch; what sends is loaded with the first upload.

const LIMIT = 4096;
/** What the feed may add to that. */
const FEED_LIMIT = 1216;

/** Bytes of a module with all that it imports, as a page would get it. */
async function sizeOf(file: string, external: string[] = []): Promise<number> {
  const { outputFiles } = await build({
    entryPoints: [path.join(import.meta.dirname, file)],
    bundle: true,
    minify: true,
    format: 'esm',
    platform: 'browser',
    external: ['react', ...external],
    write: false,
  });
  const [output] = outputFiles;
  if (output === undefined) throw new Error(`${file} was not bundled`);
  return gzipSync(output.contents, { level: 9 }).byteLength;
}

/** The number that the README states between its two marks, KB. */
async function statedSize(): Promise<number> {
  const text = await readFile(path.join(import.meta.dirname, '../../README.md'), 'utf8');
  const stated = /<!-- size:client -->\s*([\d.]+)[^<]*<!-- \/size:client -->/.exec(text)?.[1];
  if (stated === undefined) {
    throw new Error(
      'README.md states no size between <!-- size:client --> and <!-- /size:client -->',
    );
  }
  return Number(stated);
}

describe('the client', () => {
  it('is smaller than 4 KB, minified and gzipped, and loads what sends when it is needed', async () => {
    const core = await sizeOf('index.ts', ['./calls.ts']);
    expect(core).toBeLessThan(LIMIT);
    expect(await sizeOf('index.ts')).toBeGreaterThan(core + 500);
  });

  it('loads what watches all exports with its own entry alone, which adds little to the core', async () => {
    const both = await sizeOf('../test/both-entries.ts', ['./calls.ts']);
    expect(both - (await sizeOf('index.ts', ['./calls.ts']))).toBeLessThan(FEED_LIMIT);
  });

  it('is as large as the README says', async () => {
    const kilobytes = (await sizeOf('index.ts', ['./calls.ts'])) / 1024;
    expect(Math.abs(kilobytes - (await statedSize()))).toBeLessThanOrEqual(0.1);
  });
});
