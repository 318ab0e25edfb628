// `node bench/startup/run.ts [--runs N]`: from `npm start` on a fresh clone to the first answer, beside
// what npm alone takes to install the same; and the same again once it is installed.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { isOurs } from '../../scripts/lib/health.ts';
import { ROOT } from '../../scripts/lib/paths.ts';
import { freePort } from '../../scripts/lib/port.ts';
import { run } from '../../scripts/lib/run.ts';
import { heading, median, spread, table } from '../lib/report.ts';

/** A start or an install that takes longer has failed, ms. */
const PATIENCE_MS = 300_000;
/** How often the server is asked whether it is there, ms: how exact the figures are. */
const ASK_MS = 20;
const WARM_STARTS = 3;

// As somebody's own shell would have it: without the tools that are installed here.
const PATH = (process.env['PATH'] ?? '')
  .split(path.delimiter)
  .filter((folder) => !folder.endsWith(path.join('node_modules', '.bin')))
  .join(path.delimiter);

const { runs = '2' } = parseArgs({ options: { runs: { type: 'string' } } }).values;
if (!/^[1-9]$/.test(runs)) throw new Error('--runs takes a number from 1 to 9');
console.log(heading('Start-up, seconds', `node bench/startup/run.ts --runs ${runs}`));
const install: number[] = [];
const cold: number[] = [];
const warm: number[] = [];
for (let n = 0; n < Number(runs); n += 1) {
  install.push(await inFreshClone(secondsToInstall));
  await inFreshClone(async (clone) => {
    cold.push(await secondsToServe(clone));
    for (let n = 0; n < WARM_STARTS; n += 1) warm.push(await secondsToServe(clone));
  });
}
console.log(
  'The commit, not the working tree; npm takes packages from its cache where it has them.\n',
);
const rows = [
  ['`npm ci` alone, fresh clone', install],
  ['`npm start`, fresh clone, to the first `/healthz`', cold],
  ['`npm start` again', warm],
] as const;
const cells = rows.map(([name, figures]) => [name, `${figures.length}`, spread(figures, 1)]);
console.log(table(['', 'runs', 'median (least–most)'], cells));
const beyond = (median(cold) - median(install)).toFixed(1);
console.log(`\nA first start takes ${beyond} s more than \`npm ci\` (medians).`);

async function inFreshClone<T>(work: (clone: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-startup-'));
  try {
    const clone = path.join(folder, 'export-jobs');
    const { code, output } = await run('git', ['clone', '--quiet', ROOT, clone]);
    if (code !== 0) throw new Error(`git clone failed:\n${output}`);
    return await work(clone);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function secondsToInstall(clone: string): Promise<number> {
  const from = performance.now();
  const { code, output } = await run('npm', ['ci'], {
    cwd: clone,
    env: { PATH },
    signal: AbortSignal.timeout(PATIENCE_MS),
  });
  if (code !== 0) throw new Error(`npm ci failed:\n${output}`);
  return (performance.now() - from) / 1000;
}

/** From the command to the first answer. Nothing of it runs afterwards. */
async function secondsToServe(clone: string): Promise<number> {
  const port = await freePort();
  const from = performance.now();
  const npm = spawn('npm', ['start', '--', '--port', String(port)], {
    cwd: clone,
    env: { ...process.env, PATH },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let said = '';
  npm.stderr.on('data', (chunk: Buffer) => (said += chunk.toString()));
  try {
    while (!(await isOurs(port))) {
      const isLate = performance.now() - from > PATIENCE_MS;
      if (npm.exitCode !== null || isLate) throw new Error(`npm start failed:\n${said}`);
      await sleep(ASK_MS);
    }
    return (performance.now() - from) / 1000;
  } finally {
    await end(npm);
  }
}

/** The command ends by itself when npm is gone. Its pipe closes with the last of its processes. */
async function end(npm: ChildProcess): Promise<void> {
  if (npm.exitCode !== null) return;
  const closed = once(npm, 'close', { signal: AbortSignal.timeout(30_000) });
  npm.kill();
  await closed;
}
