// `npm run check`: everything that can be said about the code without starting the stack, in a minute
// or two. Stops at the first failure and shows what it printed.
import { inRoot, ROOT } from './lib/paths.ts';
import { runNode } from './lib/run.ts';
import { paint } from './lib/terminal.ts';

const PACKAGES = [
  'protocol',
  'workers',
  'workers/simulation',
  'renderer',
  'client',
  'cli',
  'app',
  'scripts',
  'e2e',
  'conformance',
  'faults',
  'faults/worker',
  'fuzz',
  'bench',
  'bench/bill',
  'bench/feed',
  'bench/lists',
  'bench/load',
  'bench/load/workers',
  'bench/naive',
];
const module = (...parts: string[]) => inRoot('node_modules', ...parts);
const TSC = module('typescript', 'bin', 'tsc');
const VITEST = module('vitest', 'vitest.mjs');

interface Step {
  readonly name: string;
  readonly args: readonly string[];
}
/** Steps of one row run side by side; a row starts when the one before it has passed. */
const ROWS: readonly (readonly Step[])[] = [
  [
    { name: 'format', args: [module('oxfmt', 'bin', 'oxfmt'), '--check'] },
    { name: 'lint', args: [module('oxlint', 'bin', 'oxlint')] },
  ],
  PACKAGES.map((name) => ({ name: `types of ${name}`, args: [TSC, '-p', inRoot(name)] })),
  [{ name: 'unit tests', args: [VITEST, 'run', '--project', 'node'] }],
  // By itself: beside others its runner has stood still at its end.
  [{ name: 'unit tests in workerd', args: [VITEST, 'run', '--project', 'workerd'] }],
];

const startedAt = performance.now();
try {
  for (const row of ROWS) await allPass(row);
  console.log(`${paint('green', '✓')} all in ${seconds(startedAt)}`);
} catch {
  process.exitCode = 1;
}

/** @throws at the first failure, once its output is shown; the others are ended. */
async function allPass(steps: readonly Step[]): Promise<void> {
  const others = new AbortController();
  await Promise.all(
    steps.map(async ({ name, args }) => {
      const from = performance.now();
      const { signal } = others;
      const { code, output } = await runNode(args, { cwd: ROOT, signal });
      const line = `${name.padEnd(20)} ${seconds(from)}`;
      if (code === 0) return console.log(`${paint('green', '✓')} ${line}`);
      others.abort();
      console.log(`${paint('red', '✗')} ${line}\n\n${output.trim()}`);
      throw new Error(name);
    }),
  );
}

function seconds(from: number): string {
  return `${((performance.now() - from) / 1000).toFixed(1)} s`;
}
