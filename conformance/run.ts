// `npm run conformance`: holds a renderer, in whatever language, to the cases.
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { runCommand } from '../scripts/lib/command.ts';
import { UsageError } from '../scripts/lib/user-error.ts';
import { readAlways, readCases } from './format.ts';
import { OURS } from './ours.ts';
import { describe } from './show.ts';
import { makeSources } from './sources.ts';
import { playAll } from './suite.ts';

const USAGE = `usage: npm run conformance -- [--case NAME]… [-- command of the renderer]

  --case NAME   plays this case alone; can be given more than once

Without a command it is this project's own renderer.`;

const FLAGS = {
  case: { type: 'string', multiple: true },
  help: { type: 'boolean', short: 'h', default: false },
} as const;

process.exit(
  await runCommand(USAGE, async (args) => {
    const { values, positionals } = parse(args);
    const command = positionals.length > 0 ? positionals : OURS;
    return values.help ? 'help' : await hold(command, values.case ?? []);
  }),
);

async function hold(command: readonly string[], names: readonly string[]): Promise<number> {
  const [all, always] = await Promise.all([readCases(), readAlways()]);
  const unknown = names.find((name) => !all.some((test) => test.name === name));
  if (unknown !== undefined) {
    throw new UsageError(`no case "${unknown}"; there are ${all.map((t) => t.name).join(', ')}`);
  }
  const cases = all.filter(({ name }) => names.length === 0 || names.includes(name));
  const folder = await mkdtemp(path.join(tmpdir(), 'conformance-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  const sources = await makeSources(folder);
  let failed = 0;
  for (const playing of playAll(cases, { command, sources, folder, always })) {
    const verdict = await playing;
    console.log(describe(verdict));
    if (verdict.violations.length > 0) failed += 1;
  }
  console.log(`\n${cases.length - failed} of ${cases.length} cases hold`);
  return failed === 0 ? 0 : 1;
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
