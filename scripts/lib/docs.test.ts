import { existsSync } from 'node:fs';
import { readFile, readdir } from 'node:fs/promises';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { inRoot, ROOT } from './paths.ts';

const pages = (await readdir(ROOT)).filter((name) => name.endsWith('.md'));

describe.each(pages)('%s', (page) => {
  it('names only files that are there', async () => {
    const text = await readFile(inRoot(page), 'utf8');
    const links = [...text.matchAll(/\]\((?!https?:)([^)#\s]+)/g)].map(([, to = '']) => to);
    const named = [...text.matchAll(/`((?:[\w.-]+\/)+[\w.-]+\.(?:ts|md|json|jsonc))`/g)].map(
      ([, to = '']) => to,
    );
    // A name without its folder is said of files beside the one before.
    const missing = [...links, ...named].filter((to) => !existsSync(path.join(ROOT, to)));
    expect(missing).toEqual([]);
  });
});
