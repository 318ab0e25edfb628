// `npm test`: every test there is, and a look at all that they made the system write. The last line is the
// count, taken from vitest's own report.
import { spawn } from 'node:child_process';
import { mkdtemp, readFile, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { stripVTControlCharacters } from 'node:util';
import * as v from 'valibot';
import { ensureFfmpeg } from './ensure-ffmpeg.ts';
import { buildApp } from './lib/build.ts';
import { KNOWN_SECRETS, leaksIn, LOGS } from './lib/leaks.ts';
import { inRoot, ROOT } from './lib/paths.ts';
import { onStop } from './lib/until-stopped.ts';
import { report } from './lib/user-error.ts';

const Report = v.object({
  success: v.boolean(),
  numPassedTests: v.number(),
  numFailedTests: v.number(),
  numPendingTests: v.number(),
  numTodoTests: v.number(),
  testResults: v.array(v.object({ status: v.string(), assertionResults: v.array(v.unknown()) })),
});

interface Share {
  readonly args: readonly string[];
  /** For how long no file may end, ms: none of them takes as long. */
  readonly stillMs: number;
  /** Whether it is run once more when it stands still. */
  readonly again?: true;
}

const MINUTE_MS = 60_000;
/**
 * What is run one after the other. Those inside workerd are by themselves because their runner was seen to stand
 * still, the more so beside others: all tests of a file were done, and the word that the file was went missing. So
 * they are run once more, and they alone.
 */
const SHARES: readonly Share[] = [
  { args: ['--project=workerd'], stillMs: 5 * MINUTE_MS, again: true },
  { args: ['--project=bill'], stillMs: 5 * MINUTE_MS, again: true },
  { args: ['--project=!workerd', '--project=!bill'], stillMs: 20 * MINUTE_MS },
];
/** What the runner prints when a file has ended. */
const FILE_ENDED = /^.{0,20}[✓❯×↓].*\.tsx? /m;
const FILE_FAILED = /^.{0,20}❯.*\.tsx? .*\d failed/m;
/** How long after its end the rest of what it wrote is waited for, ms. */
const PIPES_MS = 5000;

process.exit(await main());

async function main(): Promise<number> {
  try {
    await ensureFfmpeg();
    await buildApp();
  } catch (error) {
    report(error);
    console.log('0 passed, 1 failed');
    return 1;
  }
  const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-tests-'));
  const asked = process.argv.slice(2);
  const shares = asked.length > 0 ? [{ args: asked, stillMs: 20 * MINUTE_MS }] : SHARES;
  const sum = { passed: 0, failed: 0, skipped: 0 };
  let written = '';
  for (const share of shares) {
    const run = await runShare(share, folder);
    written += run.written;
    sum.passed += run.passed;
    sum.failed += run.failed;
    sum.skipped += run.skipped;
  }
  sum.failed += await showLeaks(written, folder);
  await rm(folder, { recursive: true, force: true });
  if (sum.skipped > 0) console.log(`${sum.skipped} skipped, which this machine cannot run`);
  console.log(`${sum.passed} passed, ${sum.failed} failed`);
  return sum.failed === 0 ? 0 : 1;
}

/** Runs some of the tests, and once more when their runner stands still. @returns their count, and all that was written. */
async function runShare(share: Share, folder: string) {
  const file = path.join(folder, 'report.json');
  await rm(file, { force: true });
  const args = [
    '--reporter=default',
    '--reporter=json',
    `--outputFile.json=${file}`,
    ...share.args,
  ];
  let run = await vitest({ ...share, args }, folder);
  let { written } = run;
  let failed = 0;
  if (run.isStill) console.log(`no test file ended for ${share.stillMs / MINUTE_MS} minutes`);
  if (run.isStill && share.again) {
    console.log('these tests are run once more');
    // What failed before counts, whatever comes of it now.
    if (FILE_FAILED.test(stripVTControlCharacters(written))) failed += 1;
    run = await vitest({ ...share, args }, folder);
    written += run.written;
  }
  const counted = await count(file);
  // A run that ended badly without a failed test, such as a crash, is a failure of its own.
  failed += Math.max(counted.failed, run.code === 0 ? 0 : 1);
  return { ...counted, failed, written };
}

/** Runs vitest with this terminal. @returns its exit code, null when it was killed, and what it wrote. */
async function vitest({ args: asked, stillMs }: Share, logs: string) {
  const args = [inRoot('node_modules', 'vitest', 'vitest.mjs'), 'run', ...asked];
  const colour = process.stdout.isTTY ? { FORCE_COLOR: '1' } : {};
  const env = { ...process.env, ...colour, [LOGS]: logs };
  const child = spawn(process.execPath, args, {
    cwd: ROOT,
    env,
    stdio: ['inherit', 'pipe', 'pipe'],
  });
  onStop((sign) => child.kill(sign === 'orphaned' ? 'SIGTERM' : sign));
  const chunks: string[] = [];
  let isStill = false;
  const giveUp = () => {
    isStill = true;
    child.kill('SIGKILL');
  };
  let patience = setTimeout(giveUp, stillMs);
  for (const [from, to] of [
    [child.stdout, process.stdout],
    [child.stderr, process.stderr],
  ] as const) {
    from.setEncoding('utf8');
    from.on('data', (text: string) => {
      chunks.push(text);
      // Nothing else counts: what is under test goes on saying things of its own.
      if (!FILE_ENDED.test(stripVTControlCharacters(text))) return;
      clearTimeout(patience);
      patience = setTimeout(giveUp, stillMs);
    });
    from.pipe(to);
  }
  const code = await new Promise<number | null>((resolve) => {
    child.once('error', (error) => {
      report(error);
      resolve(1);
    });
    child.once('close', resolve);
    // What the runner leaves behind may hold its pipes for ever.
    child.once('exit', (ended) => setTimeout(() => resolve(ended), PIPES_MS));
  });
  clearTimeout(patience);
  return { code, isStill, written: chunks.join('') };
}

/** Whether any secret was written, by the tests or by the stacks that they ran. @returns how many. */
async function showLeaks(written: string, folder: string): Promise<number> {
  const logs = (await readdir(folder)).filter((name) => name.endsWith('.log'));
  const texts = await Promise.all(
    logs.map(async (name) => [name, await readFile(path.join(folder, name), 'utf8')] as const),
  );
  const known = (await readFile(path.join(folder, KNOWN_SECRETS), 'utf8').catch(() => ''))
    .split('\n')
    .filter(Boolean);
  const found = [['the output', written] as const, ...texts].flatMap(([where, text]) =>
    leaksIn(text, known).map((leak) => ({ where, ...leak })),
  );
  // Stacks of tests write logs; where there are none, nothing was looked at.
  const isBlind = known.length > 0 && logs.length === 0;
  if (isBlind) console.log('LEAK: stacks ran, and none left a log to look at');
  for (const { where, line, kind, before } of found) {
    console.log(`LEAK: ${kind} in line ${line} of ${where}, after: ${before}`);
  }
  const lines = [written, ...texts.map(([, text]) => text)].join('\n').split('\n').length;
  console.log(`secrets in ${lines} lines of output and ${logs.length} logs: ${found.length}`);
  return found.length + (isBlind ? 1 : 0);
}

async function count(file: string) {
  const text = await readFile(file, 'utf8').catch(() => '');
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), Report), text);
  if (!result.success) return { passed: 0, failed: 1, skipped: 0 };
  const tests = result.output;
  // A file that could not even be loaded has failed without a test of its own.
  const broken = tests.testResults.filter(
    ({ status, assertionResults }) => status === 'failed' && assertionResults.length === 0,
  );
  return {
    passed: tests.numPassedTests,
    failed: tests.numFailedTests + broken.length,
    skipped: tests.numPendingTests + tests.numTodoTests,
  };
}
