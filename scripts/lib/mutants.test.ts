import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { MUTANTS } from './mutants.ts';
import { inRoot } from './paths.ts';

it('every way to break the Worker still has a place in it', async () => {
  const stale: string[] = [];
  for (const { name, edits } of MUTANTS) {
    for (const { file, find } of edits) {
      const text = await readFile(inRoot('workers', 'src', file), 'utf8');
      if (text.split(find).length !== 2) stale.push(`${name}: ${find}`);
    }
  }
  expect(stale).toEqual([]);
});
