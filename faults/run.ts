// Responsible for one run: starts a system with proxies between its parts, lets clients and viewers use
// it while it is broken as the plan says, lets it heal, and judges what is left.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startStack, type Stack } from '../scripts/stack.ts';
import { violationsIn, type Evidence, type Violation } from './check.ts';
import { Client, type Promised } from './client.ts';
import { changesByJob, leftInOutboxes } from './disk.ts';
import { strike } from './nemesis.ts';
import { LINKS, type Link, type Plan } from './plan.ts';
import { ChaosProxy } from './proxy.ts';
import { Random } from './random.ts';
import type { Sources } from './sources.ts';
import { StoreFaults } from './stores.ts';
import type { System } from './systems.ts';
import { Tally } from './tally.ts';
import { Frame, parsed } from './view.ts';
import { watch, type Watched } from './viewer.ts';
import { encodersLeft, lookAtJobs, RowWatcher } from './witness.ts';

/** How long viewers may take to hear of an end that is there, ms. */
const LAST_VIEWERS_MS = 20_000;
/** How long an ended job is watched for changes, ms. */
const AFTERMATH_MS = 3000;
const ENCODER_PATIENCE_MS = 10_000;

export interface RunOptions {
  readonly system: System;
  readonly plan: Plan;
  readonly sources: Sources;
  /** An empty folder of the run's own. */
  readonly folder: string;
  /** Gets a line for each thing that happens. */
  readonly tell?: (text: string) => void;
}

export interface RunResult {
  readonly system: System['name'];
  readonly seed: number;
  readonly faults: ReadonlyMap<string, number>;
  /** How many jobs ended how. */
  readonly ends: ReadonlyMap<string, number>;
  /** How much there was to judge. */
  readonly seen: ReadonlyMap<string, number>;
  readonly violations: readonly Violation[];
  /** From the last fault until everything had ended, ms; null when it never did. */
  readonly settledMs: number | null;
  readonly tookMs: number;
}

/** Everything of one run that must be closed. */
interface World {
  readonly stack: Stack;
  readonly proxies: Readonly<Record<Link, ChaosProxy>>;
  readonly stores: StoreFaults;
  readonly tally: Tally;
  readonly random: Random;
  readonly rows: RowWatcher;
  readonly scratch: string;
  /** Jobs whose `complete` the server has answered with 200. */
  readonly completed: Set<string>;
}

/** Makes one run. Ends by itself. @throws when the system does not even start. */
export async function runFaults(options: RunOptions): Promise<RunResult> {
  const startedAt = Date.now();
  const tell = options.tell ?? (() => undefined);
  const tally = new Tally((text) =>
    tell(`${((Date.now() - startedAt) / 1000).toFixed(1)} s  ${text}`),
  );
  const undo: (() => Promise<void>)[] = [];
  try {
    const world = await build(options, tally, undo);
    const { evidence, settledMs } = await live(options, world);
    await closeAll(undo);
    // Only now is everything on disk.
    const outboxes = leftInOutboxes(options.folder);
    const changes = changesByJob(options.folder);
    return {
      system: options.system.name,
      seed: options.plan.seed,
      faults: tally.counts,
      ends: endsOf(evidence),
      seen: seenIn(evidence),
      violations: violationsIn({ ...evidence, outboxes, changes }),
      settledMs,
      tookMs: Date.now() - startedAt,
    };
  } finally {
    await closeAll(undo);
  }
}

async function closeAll(undo: (() => Promise<void>)[]): Promise<void> {
  for (let end = undo.pop(); end; end = undo.pop()) await end();
}

async function build(
  { system, plan, folder, tell }: RunOptions,
  tally: Tally,
  undo: (() => Promise<void>)[],
): Promise<World> {
  const random = new Random(`fates ${plan.seed}`);
  const stores = await StoreFaults.start({
    rates: plan.stores,
    random: { d1: random.fork('d1'), r2: random.fork('r2') },
    tally,
  });
  undo.push(() => stores.close());
  const completed = new Set<string>();
  const notes = { onReply: noteCompletes(completed), onText: noteFramedCompletes(completed) };
  const proxy = async (link: Link) => {
    const options = { link, faults: plan.links[link], random: random.fork(link), tally, ...notes };
    const made = await ChaosProxy.start(options);
    undo.push(() => made.close());
    return made;
  };
  const [a, b, c, d, e] = LINKS;
  const proxies = {
    [a]: await proxy(a),
    [b]: await proxy(b),
    [c]: await proxy(c),
    [d]: await proxy(d),
    [e]: await proxy(e),
  };
  const scratch = path.join(folder, 'scratch');
  await mkdir(scratch, { recursive: true });
  const stack = await startStack({
    ...system.stack,
    port: 0,
    app: false,
    dataDir: folder,
    say: (text) => tell?.(text),
    detour: (link, url) => proxies[link].to(url),
    workerEnv: { ...system.stack.workerEnv, FAULTS_URL: stores.url },
    rendererEnv: { ...system.stack.rendererEnv, RENDERER_TMP: scratch },
  });
  undo.push(() => stack.close());
  proxies['client-worker'].to(stack.url);
  proxies['viewer-worker'].to(stack.url);
  const rows = new RowWatcher(folder);
  undo.push(() => rows.close());
  const nemesis = random.fork('nemesis');
  return { stack, proxies, stores, tally, random: nemesis, rows, scratch, completed };
}

function noteCompletes(completed: Set<string>) {
  return (method: string, url: string, status: number) => {
    const [, id] = /^\/api\/jobs\/([^/]+)\/do\/complete$/.exec(url) ?? [];
    if (method === 'POST' && status === 200 && id) completed.add(id);
  };
}

/** The same for renderers that say so on a socket; only theirs has acknowledgements. */
function noteFramedCompletes(completed: Set<string>) {
  const said = new Map<string, Set<number>>();
  return (url: string, from: 'caller' | 'server', text: string) => {
    const [, id] = /^\/api\/jobs\/([^/]+)\/renderer/.exec(url) ?? [];
    const frame = parsed(Frame, text);
    if (!id || !frame) return;
    const seqs = said.get(url) ?? new Set();
    said.set(url, seqs);
    if (from === 'caller' && frame.type === 'complete') seqs.add(frame.seq);
    if (from === 'server' && frame.type === 'ack' && seqs.has(frame.seq)) completed.add(id);
  };
}

async function live(options: RunOptions, world: World) {
  const { plan, system } = options;
  const { stack, rows, scratch } = world;
  const giveUp = AbortSignal.timeout(plan.faultMs + system.settleMs);
  const leave = new AbortController();
  const crowd = startCrowd(options, world, giveUp, leave.signal);
  await breakThings(plan, world);
  const healedAt = Date.now();
  await Promise.all(crowd.clients);
  const { promised } = crowd;
  const ids = promised.flatMap(({ ids }) => [...ids]);
  const isHopeless = () => giveUp.aborted || rows.quietMs > system.quietMs;
  while (!rows.isSettled(ids) && !isHopeless()) await sleep(250);
  const settledMs = rows.isSettled(ids) ? Date.now() - healedAt : null;
  const timer = setTimeout(() => leave.abort(), LAST_VIEWERS_MS);
  await Promise.all(crowd.viewers);
  clearTimeout(timer);
  // The watcher looks twice a second: what changed at the very last is still to be seen.
  await sleep(1000);
  const encoders = await encodersLeft(scratch, ENCODER_PATIENCE_MS);
  const settled = { base: stack.url, dataDir: options.folder, promised, rows: rows.rows };
  const jobs = await lookAtJobs(settled, AFTERMATH_MS);
  const { watched } = crowd;
  const evidence: Evidence = {
    jobs,
    promised,
    watched,
    encoders,
    rowChanges: rows.changes,
    completed: world.completed,
    changes: new Map(),
    outboxes: [],
  };
  return { evidence, settledMs };
}

/** Sets every client and viewer to work at its time. */
function startCrowd(
  { plan, sources }: RunOptions,
  { proxies }: World,
  giveUp: AbortSignal,
  leave: AbortSignal,
) {
  const promised: Promised[] = [];
  const watched: Watched[] = [];
  const viewers: Promise<void>[] = [];
  const clients = plan.jobs.map(async (job) => {
    const client = new Client(proxies['client-worker'].url, job, sources[job.source], giveUp);
    promised.push(client.promised);
    await sleep(job.at);
    await client.run((jobId) => {
      for (const viewer of job.viewers) {
        const seen: Watched = { jobId, plan: viewer, heard: [] };
        watched.push(seen);
        viewers.push(watch(proxies['viewer-worker'].url, seen, leave));
      }
    });
  });
  return { promised, watched, viewers, clients };
}

/** Strikes at the planned times, and heals everything at the end. */
async function breakThings(plan: Plan, world: World): Promise<void> {
  const { proxies, stores } = world;
  const healed = new AbortController();
  const struck = new Set<number>();
  const blows = plan.blows.map(async (blow) => {
    await sleep(blow.at);
    await strike(blow, { ...world, struck, healed: healed.signal });
  });
  await sleep(plan.faultMs);
  healed.abort();
  stores.heal();
  for (const proxy of Object.values(proxies)) proxy.heal();
  await Promise.all(blows);
}

function endsOf({ jobs }: Evidence): Map<string, number> {
  const ends = new Map<string, number>();
  for (const { status } of jobs) {
    const job = status?.job;
    const end = job?.status === 'error' ? `error: ${job.error_code ?? 'unnamed'}` : job?.status;
    ends.set(end ?? 'unknown', (ends.get(end ?? 'unknown') ?? 0) + 1);
  }
  return ends;
}

function seenIn({ promised, jobs, watched, completed }: Evidence): Map<string, number> {
  const connections = watched.map(({ heard }) => new Set(heard.map((one) => one.connection)).size);
  const attempts = jobs.map(({ status }) => status?.job.attempt ?? 1);
  return new Map([
    ['creates repeated', sum(promised.map(({ plan }) => plan.repeats.length))],
    ['cancels acknowledged', promised.filter(({ cancelled }) => cancelled).length],
    ['completes acknowledged', completed.size],
    ['attempts beyond the first', sum(attempts) - attempts.length],
    ['whole films that ended as error', jobs.filter(isFailedFilm).length],
    ['files downloaded and decoded', jobs.filter(({ file }) => file?.problem === null).length],
    ['viewers', watched.length],
    ['viewer connections that heard something', sum(connections)],
    ['messages heard', sum(watched.map(({ heard }) => heard.length))],
  ]);
}

/** Not a violation, but what a user minds most. */
function isFailedFilm({ promised, status }: Evidence['jobs'][number]): boolean {
  return promised !== null && promised.frames !== null && status?.job.status === 'error';
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((a, b) => a + b, 0);
}
