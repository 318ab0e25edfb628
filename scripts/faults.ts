// `npm run faults`: runs the whole system while everything between and below its parts is broken by a
// seed, and says what did not hold.
import { readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { betweenMarkers } from '../bench/lib/markers.ts';
import { heading } from '../bench/lib/report.ts';
import { planOf } from '../faults/plan.ts';
import { runFaults, type RunResult } from '../faults/run.ts';
import { makeSources, type Sources } from '../faults/sources.ts';
import { NAIVE, OURS, type System } from '../faults/systems.ts';
import { describePlan, describeRun, describeRuns } from '../faults/table.ts';
import { viewersPlanOf, WHOLE } from '../faults/viewers/plan.ts';
import { runViewers, type ViewersRunResult } from '../faults/viewers/run.ts';
import * as viewersTable from '../faults/viewers/table.ts';
import { ensureFfmpeg } from './ensure-ffmpeg.ts';
import { inFolder, parseFlags, runCommand, whole } from './lib/command.ts';
import { inRoot } from './lib/paths.ts';

const USAGE = `usage: npm run faults -- [--jobs N] [--seed N] [--seeds N] [--naive | --compare] [--verbose] [--keep]
       npm run faults -- --viewers [--seed N] [--seeds N] [--write] [--verbose] [--keep]

  --jobs N     exports in a run (50)
  --seed N     the first seed (1)
  --seeds N    how many seeds, one after the other (1)
  --naive      the naive sketch of the contract instead of this project
  --compare    both, side by side
  --viewers    what 200 viewers of all transports see of 20 jobs that are made up
  --write      puts the viewers' table into README.md
  --verbose    says what is planned, and what happens when
  --keep       keeps the data and logs of each run, and says where`;

/** Where the viewers' table goes. */
const PAGE = inRoot('README.md');
const MARKER = 'faults:viewers';

const FLAGS = {
  jobs: { type: 'string', default: '50' },
  seed: { type: 'string', default: '1' },
  seeds: { type: 'string', default: '1' },
  naive: { type: 'boolean', default: false },
  compare: { type: 'boolean', default: false },
  viewers: { type: 'boolean', default: false },
  write: { type: 'boolean', default: false },
  verbose: { type: 'boolean', default: false },
  keep: { type: 'boolean', default: false },
  help: { type: 'boolean', short: 'h', default: false },
} as const;
type Flags = ReturnType<typeof flagsOf>;

process.exit(
  await runCommand(USAGE, async (args) => {
    const flags = flagsOf(args);
    if (flags.help) return 'help';
    if (!flags.viewers) await ensureFfmpeg();
    const run = flags.viewers ? runAllViewers : runAll;
    return await inFolder('faults', flags.keep, async (folder) => await run(flags, folder));
  }),
);

async function runAll(flags: Flags, folder: string): Promise<number> {
  const results: RunResult[] = [];
  const sources = await makeSources(folder);
  for (const seed of seedsOf(flags)) {
    for (const system of flags.systems) {
      const result = await runOne(flags, system, seed, { folder, sources });
      console.log(describeRun(result));
      results.push(result);
    }
  }
  console.log(`\n${describeRuns(results)}`);
  return results.some(({ system, violations }) => system === 'ours' && violations.length > 0) ||
    (flags.naive && results.some(({ violations }) => violations.length > 0))
    ? 1
    : 0;
}

async function runOne(
  { jobs, verbose }: Flags,
  system: System,
  seed: number,
  { folder, sources }: { folder: string; sources: Sources },
): Promise<RunResult> {
  const plan = planOf(seed, jobs);
  if (verbose) console.log(describePlan(plan));
  const own = path.join(folder, `${system.name}-${seed}`);
  const tell = verbose ? { tell: (text: string) => console.log(text) } : {};
  return await runFaults({ system, plan, sources, folder: own, ...tell });
}

async function runAllViewers(flags: Flags, folder: string): Promise<number> {
  // A page that cannot be written is better found out before than after a quarter of an hour.
  if (flags.write) betweenMarkers(await readFile(PAGE, 'utf8'), MARKER, '');
  const given = process.argv.slice(2).filter((flag) => flag !== '--write');
  const title = heading('Viewers under faults', `npm run faults -- ${given.join(' ')}`);
  const tell = flags.verbose ? { tell: (text: string) => console.log(text) } : {};
  const results: ViewersRunResult[] = [];
  for (const seed of seedsOf(flags)) {
    const plan = viewersPlanOf(seed, WHOLE);
    const own = path.join(folder, `viewers-${seed}`);
    const result = await runViewers({ plan, folder: own, ...tell });
    console.log(viewersTable.describeRun(result));
    results.push(result);
  }
  const text = `${title}\n${viewersTable.describeRuns(results)}`;
  console.log(`\n${text}`);
  if (flags.write) {
    await writeFile(PAGE, betweenMarkers(await readFile(PAGE, 'utf8'), MARKER, text));
  }
  return results.some((result) => viewersTable.violationsIn(result) > 0) ? 1 : 0;
}

function seedsOf({ seed, seeds }: Flags): number[] {
  return Array.from({ length: seeds }, (_, n) => seed + n);
}

/** @throws UsageError that says what is wrong. */
function flagsOf(args: readonly string[]) {
  const { jobs, seed, seeds, naive, compare, ...flags } = parseFlags(args, FLAGS);
  return {
    jobs: whole('jobs', jobs),
    seed: whole('seed', seed),
    seeds: whole('seeds', seeds),
    systems: compare ? [OURS, NAIVE] : naive ? [NAIVE] : [OURS],
    naive,
    ...flags,
  };
}
