// `npm run fuzz`: tells the running Worker thousands of things that it must refuse, and says what did not hold.
import path from 'node:path';
import { runFuzz, type RunResult } from '../fuzz/run.ts';
import { MODES, type Mode } from '../fuzz/system.ts';
import { describeRun } from '../fuzz/table.ts';
import { inFolder, parseFlags, runCommand, whole } from './lib/command.ts';
import { UsageError } from './lib/user-error.ts';

const USAGE = `usage: npm run fuzz -- [--count N] [--seed N] [--mode development|production] [--only N] [--verbose] [--keep]

  --count N    how many bad inputs, half of them in each mode (20000)
  --seed N     what they are drawn from (1)
  --mode M     only against a Worker that asks nobody, or everybody, for credentials
  --only N     only the Nth input of a seed, and what came of it; needs --mode
  --verbose    says how far it is
  --keep       keeps data and logs, and says where`;

const FLAGS = {
  count: { type: 'string', default: '20000' },
  seed: { type: 'string', default: '1' },
  mode: { type: 'string' },
  only: { type: 'string' },
  verbose: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;
type Flags = ReturnType<typeof flagsOf>;

/** The memory of the second half of a long run may be so much of that of the first. */
const FLAT = 1.75;
/** Until about so many inputs the runtime only fills the memory that it then keeps. */
const LONG = 8000;

process.exit(
  await runCommand(USAGE, async (args) => {
    const flags = flagsOf(args);
    if (flags.help) return 'help';
    return await inFolder('fuzz', flags.keep, async (folder) => await runAll(flags, folder));
  }),
);

async function runAll(flags: Flags, folder: string): Promise<number> {
  let failed = false;
  for (const mode of flags.modes) {
    const result = await runOne(flags, mode, folder);
    console.log(describeRun(result));
    failed ||= !isWell(result);
  }
  return failed ? 1 : 0;
}

function runOne({ seed, count, modes, only, verbose }: Flags, mode: Mode, folder: string) {
  const isTold = verbose || only !== null;
  return runFuzz({
    mode,
    seed,
    count: Math.ceil(count / modes.length),
    dataDir: path.join(folder, mode),
    ...(only !== null && { only }),
    ...(isTold && { tell: (text: string) => console.log(text) }),
  });
}

function isWell({ mode, faults, rateLimited, inputs, memory }: RunResult): boolean {
  const isFlat = inputs < LONG || memory.second <= memory.first * FLAT;
  if (!isFlat) console.log(`${mode}: memory has grown to more than ${FLAT} times what it was`);
  const isTested = rateLimited < inputs * 0.05;
  if (!isTested) console.log(`${mode}: more than one in twenty was only told to come later`);
  return faults.length === 0 && isFlat && isTested;
}

/** @throws UsageError that says what is wrong. */
function flagsOf(args: readonly string[]) {
  const { count, seed, mode, only, ...rest } = parseFlags(args, FLAGS);
  const modes = mode === undefined ? MODES : MODES.filter((one) => one === mode);
  if (modes.length === 0) throw new UsageError(`--mode takes ${MODES.join(' or ')}, not "${mode}"`);
  if (only !== undefined && modes.length > 1) throw new UsageError('--only needs --mode');
  return {
    ...rest,
    count: whole('count', count),
    seed: whole('seed', seed),
    modes,
    only: only === undefined ? null : whole('only', only, 0),
  };
}
