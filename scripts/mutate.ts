// `npm run mutate`: breaks a copy of the Worker in every way of the list, one at a time, and shows
// that the simulation or the unit tests notice each. A survivor needs a reason, written in the list.
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { availableParallelism, tmpdir } from 'node:os';
import path from 'node:path';
import { REGRESSIONS } from '../workers/simulation/regressions.ts';
import { runWorlds, seedsFrom } from '../workers/simulation/run-worlds.ts';
import { MUTANTS } from './lib/mutants.ts';
import type { Edit, Mutant } from './lib/mutant.ts';
import { inRoot } from './lib/paths.ts';
import { runNode } from './lib/run.ts';
import { paint } from './lib/terminal.ts';
import { report, UserError } from './lib/user-error.ts';

const WORLDS = 1500;
/** What was found once is looked at first. */
const SEEDS = [...REGRESSIONS.map(({ seed }) => seed), ...seedsFrom(0, WORLDS)];
/** A mutant that takes longer hangs, which is noticed too, ms. */
const PATIENCE_MS = 180_000;
/** What the Worker's unit tests and the simulation need of the tree; `bench` has a project of Vitest. */
const PARTS = [
  'workers',
  'protocol',
  'bench',
  'package.json',
  'tsconfig.base.json',
  'vitest.config.ts',
];

interface Outcome {
  readonly mutant: Mutant;
  /** Who noticed, or null. */
  readonly by: string | null;
}

try {
  const [wanted] = process.argv.slice(2);
  const mutants = MUTANTS.filter(({ name }) => wanted === undefined || name.includes(wanted));
  const noticed = await inCopy((copy) => whoNotices(copy));
  if (noticed) throw new UserError(`the tree as it is does not pass: ${noticed}`);
  const outcomes = await mutateAll(mutants);
  const survivors = outcomes.filter(({ by, mutant }) => by === null && !mutant.survives);
  console.log(`\n${outcomes.length} mutants, ${survivors.length} unexplained survivors`);
  if (survivors.length > 0) process.exitCode = 1;
} catch (error) {
  report(error);
  process.exitCode = 2;
}

/** Tries every mutant, as many at a time as there are cores, each core in a copy of its own. */
async function mutateAll(mutants: readonly Mutant[]): Promise<Outcome[]> {
  const waiting = [...mutants];
  const outcomes: Outcome[] = [];
  const work = () =>
    inCopy(async (copy) => {
      for (let mutant = waiting.shift(); mutant; mutant = waiting.shift()) {
        const outcome = { mutant, by: await tryMutant(copy, mutant) };
        console.log(line(outcome));
        outcomes.push(outcome);
      }
    });
  await Promise.all(Array.from({ length: availableParallelism() }, work));
  return outcomes;
}

async function tryMutant(copy: string, { name, edits }: Mutant): Promise<string | null> {
  const originals = new Map<string, string>();
  try {
    for (const edit of edits) await apply(copy, name, edit, originals);
    return await whoNotices(copy);
  } finally {
    for (const [file, text] of originals) await writeFile(file, text);
  }
}

/** @throws UserError when the text to replace is not there exactly once. */
async function apply(
  copy: string,
  name: string,
  { file, find, replace }: Edit,
  originals: Map<string, string>,
): Promise<void> {
  const where = path.join(copy, 'workers', 'src', file);
  const text = await readFile(where, 'utf8');
  const times = text.split(find).length - 1;
  if (times !== 1) {
    throw new UserError(`"${name}": found ${times} times in ${file}, not once:\n${find}`);
  }
  if (!originals.has(where)) originals.set(where, text);
  await writeFile(
    where,
    text.replace(find, () => replace),
  );
}

/** Who notices that something is wrong with a copy; null when nobody does. */
async function whoNotices(copy: string): Promise<string | null> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const home = path.join(copy, 'workers', 'simulation');
  try {
    const { summary } = await runWorlds(SEEDS, { hasty: true, home, signal });
    const [violation] = summary.violations;
    if (violation) {
      const { seed, invariant, detail } = violation;
      return `simulation, seed ${seed}: ${invariant}, ${detail}`;
    }
  } catch (error) {
    if (error instanceof SyntaxError) throw error;
    return `simulation: ${signal.aborted ? 'hangs' : String(error)}`;
  }
  const vitest = inRoot('node_modules', 'vitest', 'vitest.mjs');
  const args = [vitest, 'run', '--project', 'node', 'workers/src', '--bail', '1'];
  const { code, output } = await runNode(args, {
    cwd: copy,
    signal,
    env: { NO_COLOR: '1' },
  });
  if (code === 0) return null;
  return `tests: ${/FAIL\s+(?:\|node\|\s+)?(.*)/.exec(output)?.[1] ?? `exit code ${code}`}`;
}

/** Has a copy of the tree while something is done with it. */
async function inCopy<T>(use: (copy: string) => Promise<T>): Promise<T> {
  const copy = await mkdtemp(path.join(tmpdir(), 'export-jobs-mutant-'));
  try {
    const filter = (source: string) => !/[/\\](node_modules|\.data|\.wrangler)$/.test(source);
    for (const part of PARTS) {
      await cp(inRoot(part), path.join(copy, part), { recursive: true, filter });
    }
    await symlink(inRoot('node_modules'), path.join(copy, 'node_modules'), 'junction');
    return await use(copy);
  } finally {
    await rm(copy, { recursive: true, force: true });
  }
}

function line({ mutant: { name, survives }, by }: Outcome): string {
  const label = name.padEnd(58);
  if (by !== null) return `${paint('green', '✓')} ${label} ${by.slice(0, 110)}`;
  if (survives) return `${paint('yellow', '–')} ${label} survives: ${survives}`;
  return `${paint('red', '✗')} ${label} survives`;
}
