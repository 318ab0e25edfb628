// `npm test`: every test there is. The last line is the count, taken from vitest's own report.
import { spawn } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import * as v from 'valibot';
import { ensureFfmpeg } from './ensure-ffmpeg.ts';
import { buildApp } from './lib/build.ts';
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
  const file = path.join(tmpdir(), `export-jobs-tests-${process.pid}.json`);
  const code = await vitest(['--reporter=default', '--reporter=json', `--outputFile.json=${file}`]);
  const counted = await count(file);
  await rm(file, { force: true });
  // A run that ended badly without a failed test, such as a crash, is a failure of its own.
  const failed = Math.max(counted.failed, code === 0 ? 0 : 1);
  const skipped = counted.skipped > 0 ? `, ${counted.skipped} skipped` : '';
  console.log(`${counted.passed} passed, ${failed} failed${skipped}`);
  return failed === 0 ? 0 : 1;
}

/** Runs vitest with this terminal. @returns its exit code, null when it was killed. */
async function vitest(reporters: readonly string[]): Promise<number | null> {
  const program = inRoot('node_modules', 'vitest', 'vitest.mjs');
  const args = [program, 'run', ...reporters, ...process.argv.slice(2)];
  const child = spawn(process.execPath, args, { cwd: ROOT, stdio: 'inherit' });
  onStop((sign) => child.kill(sign === 'orphaned' ? 'SIGTERM' : sign));
  return await new Promise((resolve) => {
    child.once('error', (error) => {
      report(error);
      resolve(1);
    });
    child.once('close', resolve);
  });
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
