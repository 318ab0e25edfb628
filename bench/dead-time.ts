// `node bench/dead-time.ts`: how long a worker that has more to do does nothing between two jobs.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { startStandIn, type TracedCall } from '../renderer/src/runpod/stand-in/index.ts';
import type { Loop } from './dead-time-worker.ts';

/** The second one takes a second for each. */
const JOBS: Readonly<Record<Loop, number>> = { ours: 200, sleeping: 20 };
const KEY = 'key';
/** The first jobs, which find neither code nor connections warm, are not counted. */
const WARM_UP = 2;
const PATIENCE_MS = 120_000;

const WORKER = path.join(import.meta.dirname, 'dead-time-worker.ts');

const ours = await measure('ours');
const sleeping = await measure('sleeping');
console.log('dead time between two jobs on one worker, ms: from the answer of a job-done, as it');
console.log('leaves the queue, to the next job leaving it. The handler does nothing.\n');
console.log(row('', ['gaps', 'median', 'p95', 'max']));
console.log(row('this worker runtime', figures(ours)));
console.log(row('a loop that sleeps 1 s, as RunPod’s in Python', figures(sleeping)));
console.log(`\nratio of the medians: ${(at(sleeping, 0.5) / at(ours, 0.5)).toFixed(0)}`);

/** @returns the gaps in ms, from the shortest to the longest. */
async function measure(loop: Loop): Promise<number[]> {
  const jobs = JOBS[loop] + WARM_UP;
  const gaps: number[] = [];
  const finished = Promise.withResolvers<void>();
  let doneAt: number | undefined;
  let done = 0;
  const onCall = ({ op, status }: TracedCall) => {
    if (status !== 200) return;
    if (op === 'job-take' && doneAt !== undefined) gaps.push(performance.now() - doneAt);
    if (op !== 'job-done') return;
    doneAt = performance.now();
    done += 1;
    if (done === jobs) finished.resolve();
  };
  const queue = await startStandIn({ port: 0, apiKey: KEY, onCall });
  // All jobs wait before there is a worker: no gap is the queue's.
  for (let n = 1; n <= jobs; n += 1) await submit(queue.url, n);
  const env = { ...process.env, ...queue.workerEnv('w1') };
  const worker = spawn(process.execPath, [WORKER, loop], { env, stdio: 'ignore' });
  const timer = setTimeout(() => finished.reject(new Error(`${loop}: not done`)), PATIENCE_MS);
  worker.once('exit', () => finished.reject(new Error(`${loop}: the worker ended`)));
  try {
    await finished.promise;
  } finally {
    clearTimeout(timer);
    if (worker.exitCode === null) {
      worker.kill('SIGKILL');
      await once(worker, 'exit');
    }
    await queue.close();
  }
  return gaps.slice(WARM_UP - 1).toSorted((a, b) => a - b);
}

async function submit(url: string, n: number): Promise<void> {
  const response = await fetch(`${url}/v2/local/run`, {
    method: 'POST',
    headers: { authorization: `Bearer ${KEY}` },
    body: JSON.stringify({ input: { n } }),
  });
  if (!response.ok) throw new Error(`the queue refused a job with ${response.status}`);
}

function figures(gaps: readonly number[]): string[] {
  const times = [at(gaps, 0.5), at(gaps, 0.95), at(gaps, 1)];
  return [String(gaps.length), ...times.map((ms) => ms.toFixed(1))];
}

/** The value at a share of sorted values, by the nearest rank. */
function at(sorted: readonly number[], share: number): number {
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? Number.NaN;
}

function row(label: string, cells: readonly string[]): string {
  return [label.padEnd(48), ...cells.map((cell) => cell.padStart(8))].join('');
}
