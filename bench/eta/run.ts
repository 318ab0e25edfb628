// `npm run bench -- eta`: how wrong the time left is that viewers are told, in the course of real exports.
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import * as v from 'valibot';
import { inRoot } from '../../scripts/lib/paths.ts';
import { startStack } from '../../scripts/stack.ts';
import { betweenMarkers } from '../lib/markers.ts';
import { heading, table } from '../lib/report.ts';
import { makeTasks } from './films.ts';
import { ESTIMATORS, MOMENTS, judge } from './judge.ts';
import type { Estimator, Judged } from './judge.ts';
import { Recorder, Trace } from './record.ts';

const PAGE = inRoot('bench', 'README.md');
const MARKER = 'bench:eta';

const { values } = parseArgs({
  options: {
    /** Writes what was recorded into a file. */
    keep: { type: 'string' },
    /** Judges what was recorded in such files before; the page is left as it is. */
    from: { type: 'string', multiple: true },
  },
});

const title = heading('The time left, as told and in truth', 'npm run bench -- eta');
const traces = values.from ? await readTraces(values.from) : await makeTraces();
const text = `${title}\n${tables(traces)}`;
console.log(text);
if (!values.from) await writeFile(PAGE, betweenMarkers(await page(), MARKER, text));

async function page(): Promise<string> {
  return await readFile(PAGE, 'utf8');
}

async function readTraces(files: readonly string[]): Promise<Trace[]> {
  const Traces = v.pipe(v.string(), v.parseJson(), v.array(Trace));
  const read = files.map(async (file) => v.parse(Traces, await readFile(file, 'utf8')));
  return (await Promise.all(read)).flat();
}

async function makeTraces(): Promise<Trace[]> {
  // A page that cannot be written is better found out before than after minutes.
  betweenMarkers(await page(), MARKER, '');
  const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-eta-'));
  try {
    const made = await record(folder);
    if (values.keep) await writeFile(values.keep, JSON.stringify(made));
    return made;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function record(folder: string): Promise<Trace[]> {
  const tasks = await makeTasks(folder);
  const recorder = new Recorder();
  const stack = await startStack({
    port: 0,
    app: false,
    dataDir: path.join(folder, 'data'),
    policy: { report_watched_ms: 250 },
    rendererMain: inRoot('bench', 'eta', 'renderer.ts'),
    say: () => undefined,
    onLine: (part, line) => part === 'renderer' && recorder.hear(line),
  });
  const made: Trace[] = [];
  try {
    for (const task of tasks) {
      made.push(await recorder.record(stack.url, task));
      console.error(`${made.length} of ${tasks.length}: ${task.name}`);
    }
  } finally {
    await stack.close();
  }
  return made;
}

function tables(all: readonly Trace[]): string {
  const rows = MOMENTS.map((moment) => [
    `${moment} %`,
    ...ESTIMATORS.map((whose) => errors(judge(all, moment, whose))),
    covered(judge(all, moment, 'forecast')),
  ]);
  const pooled = (whose: Estimator) => MOMENTS.flatMap((moment) => judge(all, moment, whose));
  const whole = ['all', ...ESTIMATORS.map((whose) => errors(pooled(whose)))];
  const head = ['of the way', ...ESTIMATORS, 'ended by p90'];
  return `${all.length} exports of ${spanOf(all)} seconds. Error of the p50, % of what was left: median / 90th
percentile, and of how many exports there was an estimate.

${table(head, [...rows, [...whole, covered(pooled('forecast'))]])}`;
}

function spanOf(all: readonly Trace[]): string {
  const seconds = all.map(({ claimedAt, completedAt }) => (completedAt - claimedAt) / 1000);
  return `${Math.min(...seconds).toFixed(0)} to ${Math.max(...seconds).toFixed(0)}`;
}

function errors(judged: readonly Judged[]): string {
  const wrong = judged.flatMap(({ told, left }) =>
    told ? [(100 * Math.abs(told.p50Ms - left)) / left] : [],
  );
  if (wrong.length === 0) return '–';
  return `${quantile(wrong, 0.5).toFixed(0)} / ${quantile(wrong, 0.9).toFixed(0)} (${wrong.length})`;
}

function covered(judged: readonly Judged[]): string {
  const known = judged.flatMap(({ told, left }) => (told ? [left <= told.p90Ms] : []));
  const share = known.filter(Boolean).length / known.length;
  return Number.isNaN(share) ? '–' : `${(100 * share).toFixed(0)} %`;
}

function quantile(figures: readonly number[], share: number): number {
  const sorted = figures.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? Number.NaN;
}
