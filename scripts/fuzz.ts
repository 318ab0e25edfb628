// `npm run fuzz`: tells the running Worker thousands of things that it must refuse, and says what did not hold.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { runFuzz, type RunResult } from '../fuzz/run.ts';
import { MODES, type Mode } from '../fuzz/system.ts';
import { describeRun } from '../fuzz/table.ts';
import { onStop } from './lib/until-stopped.ts';
import { report, UsageError } from './lib/user-error.ts';

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

process.exit(await main());

async function main(): Promise<number> {
  // Every part dies with this process, however it ends.
  onStop((sign) => {
    console.error(`Stopped (${sign}).`);
    process.exit(130);
  });
  try {
    const flags = flagsOf(process.argv.slice(2));
    if (flags.help) {
      console.log(USAGE);
      return 0;
    }
    return await runAll(flags);
  } catch (error) {
    report(error);
    if (error instanceof UsageError) console.error(`\n${USAGE}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

async function runAll(flags: Flags): Promise<number> {
  const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-fuzz-'));
  let failed = false;
  try {
    for (const mode of flags.modes) {
      const result = await runOne(flags, mode, folder);
      console.log(describeRun(result));
      failed ||= !isWell(result);
    }
  } finally {
    if (flags.keep) console.log(`kept: ${folder}`);
    else await rm(folder, { recursive: true, force: true });
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
  const { count, seed, mode, only, ...rest } = parse(args);
  const modes = mode === undefined ? MODES : MODES.filter((one) => one === mode);
  if (modes.length === 0) throw new UsageError(`--mode takes ${MODES.join(' or ')}, not "${mode}"`);
  if (only !== undefined && modes.length > 1) throw new UsageError('--only needs --mode');
  return {
    ...rest,
    count: whole('count', count, 1),
    seed: whole('seed', seed, 1),
    modes,
    only: only === undefined ? null : whole('only', only, 0),
  };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

function whole(name: string, text: string, from: number): number {
  if (/^\d{1,7}$/.test(text) && Number(text) >= from) return Number(text);
  throw new UsageError(`--${name} takes a whole number from ${from}, not "${text}"`);
}
