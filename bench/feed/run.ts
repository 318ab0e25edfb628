// `npm run bench -- feed`: how many viewers one object of a feed can tell of the most reports that it takes.
import { fork, type ChildProcess } from 'node:child_process';
import { rmSync } from 'node:fs';
import { mkdtemp, readFile, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { freePort } from '../../scripts/lib/port.ts';
import { inRoot } from '../../scripts/lib/paths.ts';
import { report } from '../../scripts/lib/user-error.ts';
import { betweenMarkers } from '../lib/markers.ts';
import { heading, table, whole } from '../lib/report.ts';
import { microseconds } from '../load/client/clock.ts';
import { HttpLane } from '../load/client/http-lane.ts';
import { endOf, nextMessage } from '../load/child.ts';
import { Failed } from '../load/parent.ts';
import { bundle, stopBundling } from '../load/servers/bundle.ts';
import { migrationsOf } from '../load/servers/migrations.ts';
import { cpuOfAll } from '../load/servers/processes.ts';
import { Source } from '../load/servers/source.ts';
import { Workerd, type WorkerdOptions } from '../load/servers/workerd.ts';
import { Reading } from './calls.ts';
import type { Command } from './calls.ts';

const PAGE = inRoot('bench', 'README.md');
const MARKER = 'bench:feed';
const VIEWERS = path.join(import.meta.dirname, 'viewers.ts');

/** What a feed has its jobs report at most, all of them together, a second; `REPORTS_PER_SECOND` there. */
const REPORTS = 200;
const JOBS = 200;
/** How the viewers listen: several messages in a frame, as the SDK does, or one. */
type Way = 'batch' | 'plain';
const ROWS: readonly { viewers: number; way: Way; tags?: number }[] = [
  { viewers: 10, way: 'batch' },
  { viewers: 100, way: 'batch' },
  { viewers: 500, way: 'batch' },
  { viewers: 1000, way: 'batch' },
  // As an app's users are, each with jobs of its own.
  { viewers: 1000, way: 'batch', tags: 100 },
  { viewers: 10, way: 'plain' },
  { viewers: 50, way: 'plain' },
  { viewers: 100, way: 'plain' },
];
type Row = (typeof ROWS)[number];
const WARM_UP_MS = 2000;
/** Longer than it takes to tell the same to all who listen singly. */
const TIMED_MS = 12_000;

/** The Worker, and the tables that it needs. */
type Made = Pick<WorkerdOptions, 'script' | 'migrations'>;

interface Figures extends Reading {
  /** CPU seconds of workerd a second. */
  readonly cpu: number;
}

const folder = await mkdtemp(path.join(tmpdir(), 'export-jobs-feed-'));
process.once('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 }));
try {
  await measure();
} catch (error) {
  report(error);
  process.exitCode = 1;
}

async function measure(): Promise<void> {
  betweenMarkers(await readFile(PAGE, 'utf8'), MARKER, '');
  const title = heading('Viewers on one object of a feed', 'npm run bench -- feed');
  const source = new Source();
  const made = {
    script: await bundle(source, 'bench', 'feed', 'worker.ts'),
    migrations: await migrationsOf(source, 'workers'),
  };
  await stopBundling();
  const rows: string[][] = [];
  for (const row of ROWS) {
    const [floor, ours] = [
      await figuresOf(made, 'Floor', row),
      await figuresOf(made, 'ExportFeed', row),
    ];
    rows.push(cellsOf(row, floor, ours));
    console.log(rows.at(-1)?.join(' · '));
  }
  const head = [
    'viewers',
    'told',
    'frames/s',
    'p50 · p99 ms',
    'CPU',
    'floor: told',
    'p50 · p99 ms',
    'CPU',
    'ratio',
  ];
  const text = `${title}\n${table(head, rows)}`;
  console.log(`\n${text}`);
  await writeFile(PAGE, betweenMarkers(await readFile(PAGE, 'utf8'), MARKER, text));
}

async function figuresOf(made: Made, className: string, row: Row): Promise<Figures> {
  const port = await freePort();
  const state = path.join(folder, `${className}-${port}`);
  const binding = 'EXPORT_FEED';
  const variables = {
    SIGNING_KEYS: `k1:${'a'.repeat(64)}`,
    ID_KEY: 'b'.repeat(64),
    PUBLIC_URL: `http://127.0.0.1:${port}`,
    // Nobody is there: there are no jobs.
    RUNPOD_ENDPOINT_URL: `http://127.0.0.1:${port}/v2/bench`,
    RUNPOD_API_KEY: 'bench',
    API_KEY: 'c'.repeat(32),
  };
  const workerd = new Workerd({ ...made, port, folder: state, className, binding, variables });
  await workerd.start();
  await workerd.migrate();
  const viewers = fork(VIEWERS, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
  try {
    return await underLoad(port, row, { workerd, viewers });
  } finally {
    await endOf(viewers);
    await workerd.close();
  }
}

async function underLoad(
  port: number,
  row: Row,
  { workerd, viewers }: { workerd: Workerd; viewers: ChildProcess },
): Promise<Figures> {
  const query = new URLSearchParams({
    ...(row.way === 'batch' && { batch: '1' }),
    ...(row.tags !== undefined && { tag: 'tag-0' }),
  });
  await ask(viewers, { do: 'open', port, path: `/feed?${query.toString()}`, viewers: row.viewers });
  const stop = new AbortController();
  const told = tellUntil(port, row, stop.signal);
  await sleep(WARM_UP_MS);
  const before = await cpuOfAll([workerd.pid]);
  await ask(viewers, { do: 'read' });
  await sleep(TIMED_MS);
  const reading = await ask(viewers, { do: 'read' });
  const cpu = (await cpuOfAll([workerd.pid])) - before;
  stop.abort();
  await told;
  return { ...reading, cpu: cpu / reading.seconds };
}

async function ask(viewers: ChildProcess, command: Command): Promise<Reading> {
  viewers.send(command);
  const reply = await nextMessage(viewers);
  if (v.is(Failed, reply)) throw new Error(`viewers: ${reply.failed}`);
  return v.parse(Reading, reply);
}

/** Reports of many jobs, evenly, until it is to stop. */
async function tellUntil(port: number, { tags = 0 }: Row, stop: AbortSignal): Promise<void> {
  const lanes = Array.from({ length: 8 }, () => new HttpLane(port, '/report'));
  const from = performance.now();
  let sent = 0;
  const lane = async (one: HttpLane): Promise<void> => {
    while (!stop.aborted) {
      const wait = from + (sent * 1000) / REPORTS - performance.now();
      const n = sent;
      sent += 1;
      if (wait > 0) await sleep(wait);
      await one.post(textOf(n, tags));
    }
  };
  await Promise.all(lanes.map(lane));
  for (const one of lanes) one.close();
}

/** The report of one of the jobs, which says when it was sent. */
function textOf(n: number, tags: number): string {
  const job = n % JOBS;
  const message = {
    type: 'progress',
    job_id: `job_${String(job).padStart(26, '0')}_00000000`,
    progress: 50,
    overall_progress: 50,
    message: String(microseconds()),
    seq: 1500,
    attempt: 1,
    stage: 'rendering',
    fps: 61.2,
    speed: 2.04,
    eta_ms: 61_000,
    eta_p90_ms: 74_000,
    updated_at: Date.now(),
  };
  return JSON.stringify({ message, tags: tags > 0 ? [`tag-${job % tags}`] : [] });
}

function cellsOf({ viewers, way, tags }: Row, floor: Figures, ours: Figures): string[] {
  const share = ({ reports, seconds }: Figures, of = 1) =>
    (reports / seconds / ((viewers * REPORTS) / of)).toFixed(2);
  const delays = ({ p50, p99 }: Figures) => `${p50?.toFixed(0) ?? '–'} · ${p99?.toFixed(0) ?? '–'}`;
  return [
    `${whole(viewers)}, ${way}${tags === undefined ? '' : `, each of one tag in ${tags}`}`,
    share(ours, tags),
    whole(Math.round(ours.frames / ours.seconds)),
    delays(ours),
    ours.cpu.toFixed(2),
    // It knows no tags: it tells everybody everything.
    share(floor),
    delays(floor),
    floor.cpu.toFixed(2),
    (ours.cpu / floor.cpu).toFixed(2),
  ];
}
