// Holds this project's own renderer to every case.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe as suite, expect, it } from 'vitest';
import { readAlways, readCases } from './format.ts';
import { OURS } from './ours.ts';
import type { Verdict } from './play.ts';
import { describe } from './show.ts';
import { makeSources } from './sources.ts';
import { playAll } from './suite.ts';

const cases = await readCases();
let folder: string;
let verdicts: readonly Promise<Verdict>[] = [];
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'conformance-'));
  const [sources, always] = await Promise.all([makeSources(folder), readAlways()]);
  verdicts = playAll(cases, { command: OURS, sources, folder, always });
});
afterAll(async () => {
  await Promise.allSettled(verdicts);
  await rm(folder, { recursive: true, force: true });
});

suite('this project’s renderer, held to the cases', () => {
  it.each(cases.map(({ name, title }, index) => [`${name}: ${title}`, index] as const))(
    '%s',
    async (_, index) => {
      const verdict = await verdicts[index];
      const wrong = verdict?.violations.map(({ that }) => that);
      expect(wrong, verdict && describe(verdict)).toEqual([]);
    },
  );
});
