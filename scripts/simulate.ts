// `npm run simulate`: plays worlds of the deterministic simulation and says what went wrong in them.
import { availableParallelism } from 'node:os';
import { stderr } from 'node:process';
import { parseArgs } from 'node:util';
import { describeViolations, runWorlds, seedsFrom } from '../workers/simulation/run-worlds.ts';
import type { Summary } from '../workers/simulation/result.ts';
import { paint, table } from './lib/terminal.ts';
import { report, UsageError } from './lib/user-error.ts';

const USAGE = `usage: npm run simulate -- [--seeds N] [--from N]
       npm run simulate -- --seed N [--trace]

  --seeds N    how many worlds (10000)
  --from N     the first seed (0)
  --seed N     one world alone
  --trace      with everything that happens in it`;

const TEXT = { type: 'string' } as const;
const FLAGS = { seeds: TEXT, from: TEXT, seed: TEXT, trace: { type: 'boolean' } } as const;

try {
  const { values } = parse();
  const count = whole(values.seeds, 10_000);
  const isOne = values.seed !== undefined;
  const seeds = isOne ? [whole(values.seed, 0)] : seedsFrom(whole(values.from, 0), count);
  const startedAt = performance.now();
  const { summary, trace } = await runWorlds(seeds, {
    threads: availableParallelism(),
    trace: values.trace ?? false,
    onProgress: ({ worlds }) => {
      if (stderr.isTTY) stderr.write(`\r\x1b[2K${worlds} worlds`);
    },
  });
  if (stderr.isTTY) stderr.write('\r\x1b[2K');
  if (trace.length > 0) console.log(`${trace.join('\n')}\n`);
  console.log(table(rowsOf(summary, (performance.now() - startedAt) / 1000)));
  if (summary.violations.length > 0) {
    console.log(`\n${paint('red', describeViolations(summary))}`);
    process.exitCode = 1;
  }
} catch (error) {
  report(error);
  process.exitCode = 2;
}

function parse() {
  try {
    return parseArgs({ options: FLAGS });
  } catch (error) {
    throw new UsageError(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
  }
}

function whole(text: string | undefined, otherwise: number): number {
  if (text === undefined) return otherwise;
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`"${text}" is no whole number\n\n${USAGE}`);
  return Number(text);
}

function rowsOf(summary: Summary, seconds: number): [string, string][] {
  const { worlds, simulatedMs, commits, crashes, settledMs, ends, faults, violations } = summary;
  const broken: Record<string, number> = {};
  for (const { invariant } of violations) broken[invariant] = (broken[invariant] ?? 0) + 1;
  return [
    ['worlds', `${worlds} in ${seconds.toFixed(1)} s, ${(worlds / seconds).toFixed(0)} a second`],
    ['simulated', `${(simulatedMs / 3_600_000).toFixed(0)} hours`],
    ['commits', `${commits}`],
    ['crashes', `${crashes}`],
    ['slowest to settle', `${(settledMs / 1000).toFixed(0)} s after the last fault or the end`],
    ...sorted(ends).map(([end, n]): [string, string] => [`ended ${end}`, `${n}`]),
    ...sorted(faults).map(([fault, n]): [string, string] => [`fault: ${fault}`, `${n}`]),
    ['violations', violations.length === 0 ? '0' : sorted(broken).flat().join(' ')],
  ];
}

function sorted(counts: Readonly<Record<string, number>>): [string, number][] {
  return Object.entries(counts).toSorted((a, b) => b[1] - a[1]);
}
