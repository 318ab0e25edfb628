// Responsible for one run of the viewers' suite: jobs that go their planned ways, viewers on bad wires, a
// server that dies and forgets meanwhile; then all is healed, everybody comes to an end, and is judged.
import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { JobReply, type RenderTicket } from '@export-jobs/protocol';
import { freePort } from '../../scripts/lib/port.ts';
import { Random } from '../random.ts';
import { Tally } from '../tally.ts';
import {
  judge,
  judgeJobs,
  PATIENCE_MS,
  type Evidence,
  type Judgement,
  type Spectator,
  type Truth,
  type Violation,
} from './judge.ts';
import type { Blow, JobPlan, ViewersPlan } from './plan.ts';
import { PageViewer } from './page-viewer.ts';
import { Pages } from './pages.ts';
import { Provider } from './provider.ts';
import { playAttempt, type Film } from './renderer.ts';
import { Server } from './server.ts';
import { isOver } from './sighting.ts';
import { Viewer } from './viewer.ts';
import type { Watcher } from './watcher.ts';

/** How often it is looked whether everybody has come to an end, ms. */
const LOOK_MS = 500;
/** How long the last jobs may take to end after everything works again, ms. */
const JOBS_MS = 120_000;

export interface ViewersRunOptions {
  readonly plan: ViewersPlan;
  /** An empty folder of the run's own. */
  readonly folder: string;
  /** Gets a line for each thing that happens. */
  readonly tell?: (text: string) => void;
}

/** One viewer, and what became of it. */
export interface Outcome extends Judgement {
  readonly spectator: Spectator;
  /** What was done to its connections, by kind. */
  readonly suffered: ReadonlyMap<string, number>;
  /** How many restarts of the server fell into its watch. */
  readonly restarts: number;
}

export interface ViewersRunResult {
  readonly seed: number;
  readonly outcomes: readonly Outcome[];
  /** What is wrong with the jobs themselves. */
  readonly jobs: readonly Violation[];
  /** What went wrong with the run itself. */
  readonly broken: readonly string[];
  /** How many jobs ended how. */
  readonly ends: ReadonlyMap<string, number>;
  /** What happened, by name. */
  readonly events: ReadonlyMap<string, number>;
  readonly tookMs: number;
}

interface Made {
  readonly id: string;
  readonly token: string;
  readonly plan: JobPlan;
}

interface World {
  readonly server: Server;
  readonly jobs: readonly Made[];
  readonly watchers: readonly Watcher[];
  readonly pages: Pages | null;
  readonly film: Film;
  readonly tally: Tally;
  readonly broken: string[];
  readonly startedAt: number;
}

/** Makes one run. Ends by itself. @throws when the server does not even start. */
export async function runViewers(options: ViewersRunOptions): Promise<ViewersRunResult> {
  const began = Date.now();
  const say = options.tell ?? (() => undefined);
  const tally = new Tally((text) => say(`${((Date.now() - began) / 1000).toFixed(1)} s  ${text}`));
  const undo: (() => Promise<unknown>)[] = [];
  try {
    const world = await build(options, tally, undo);
    const evidence = await live(options.plan, world);
    const outcomes = await outcomesOf(evidence, world);
    const ends = new Tally();
    for (const { status } of evidence.truths) ends.add(status);
    return {
      seed: options.plan.seed,
      outcomes,
      jobs: judgeJobs(evidence),
      broken: [...world.broken],
      ends: ends.counts,
      events: tally.counts,
      tookMs: Date.now() - began,
    };
  } finally {
    for (const end of undo.toReversed()) await end();
  }
}

async function build(
  { plan, folder }: ViewersRunOptions,
  tally: Tally,
  undo: (() => Promise<unknown>)[],
): Promise<World> {
  await mkdir(folder, { recursive: true });
  const film = { path: path.join(folder, 'film'), bytes: Buffer.from('as good as a film\n') };
  await writeFile(film.path, film.bytes);
  const over = new AbortController();
  // Tickets come before the world is whole.
  const { promise: whole, resolve } = Promise.withResolvers<World>();
  const provider = await Provider.start((ticket, providerJobId) => {
    tally.add('handed over', `${ticket.job_id} ${ticket.attempt}`);
    void whole.then((world) => render(ticket, providerJobId, world, over.signal));
  });
  undo.push(() => provider.close());
  const pagePort = await freePort();
  const variables = { ...provider.variables, ALLOWED_ORIGINS: `http://127.0.0.1:${pagePort}` };
  const server = await Server.start(folder, variables);
  undo.push(() => server.close());
  undo.push(async () => over.abort());
  const uploadId = await server.upload(film);
  const jobs: Made[] = [];
  for (const life of plan.jobs) {
    const { job, viewer_token: token } = await server.create(uploadId);
    jobs.push({ id: job.id, token, plan: life });
  }
  const pages = plan.pages.length > 0 ? await Pages.start(folder, pagePort) : null;
  undo.push(async () => pages?.close());
  const watchers = [
    ...viewersOf(plan, jobs, await server.feedToken(), server.port, tally),
    ...(pages ? pageViewersOf(plan, jobs, pages, server.port) : []),
  ];
  undo.push(() => Promise.all(watchers.map((watcher) => watcher.close())));
  const world = { server, jobs, watchers, pages, film, tally, broken: [], startedAt: Date.now() };
  resolve(world);
  return world;
}

function viewersOf(
  { seed, viewers }: ViewersPlan,
  jobs: readonly Made[],
  feedToken: string,
  port: number,
  tally: Tally,
): Watcher[] {
  const random = new Random(`pauses ${seed}`);
  return viewers.map((plan) => {
    const job = jobOf(plan, jobs);
    const token = plan.transport === 'feed' ? feedToken : job.token;
    return new Viewer({ plan, jobId: job.id, token, port, tally, random: random.fork(plan.name) });
  });
}

function pageViewersOf(
  plan: ViewersPlan,
  jobs: readonly Made[],
  pages: Pages,
  port: number,
): Watcher[] {
  return plan.pages.map((plan) => {
    const { id, token } = jobOf(plan, jobs);
    return new PageViewer({ plan, jobId: id, token, port, pages });
  });
}

function jobOf(plan: { readonly job: number }, jobs: readonly Made[]): Made {
  const job = jobs[plan.job];
  if (!job) throw new Error(`there is no job ${plan.job}`);
  return job;
}

/** One attempt of a job, when its time has come. */
async function render(
  ticket: RenderTicket,
  providerJobId: string,
  { jobs, film, tally, startedAt }: World,
  over: AbortSignal,
): Promise<void> {
  const job = jobs.find(({ id }) => id === ticket.job_id);
  if (!job) return;
  const { startsAt, attempts } = job.plan;
  const [first] = attempts;
  const plan = attempts[Math.min(ticket.attempt, attempts.length) - 1] ?? first;
  try {
    await sleep(Math.max(0, startedAt + startsAt - Date.now()), undefined, { signal: over });
    await playAttempt(ticket, providerJobId, plan, film, over);
    tally.add(`attempt: ${plan.end}`, `${job.id} ${ticket.attempt}`);
  } catch (error) {
    // It was cancelled, or has lost its lease while the server was away: another attempt follows.
    if (!over.aborted)
      tally.add('attempt: stopped', `${job.id} ${ticket.attempt}: ${String(error)}`);
  }
}

async function live(plan: ViewersPlan, world: World): Promise<Evidence> {
  const { server, watchers, tally, broken, startedAt } = world;
  for (const watcher of watchers) {
    watcher.run().catch((error: unknown) => broken.push(String(error)));
  }
  const blows = plan.blows.map((blow) => strikeInTime(blow, world));
  const cancels = cancelInTime(world);
  await sleep(plan.faultMs);
  await Promise.all(blows);
  for (const watcher of watchers) watcher.heal();
  const healedAt = Date.now();
  tally.add('healed');
  await cancels;
  const evidence = { truths: await truthsOf(world), forgotten: server.forgotten, healedAt };
  const ends = evidence.truths.map(({ endedAt }) => endedAt).filter(Number.isFinite);
  const lastArrival = startedAt + Math.max(...plan.viewers.map(({ arrivesAt }) => arrivesAt));
  const deadline = Math.max(healedAt, lastArrival, ...ends) + PATIENCE_MS;
  while (Date.now() < deadline && !(await areSettled(watchers, evidence))) await sleep(LOOK_MS);
  // What must not come after the end has a moment to come.
  await sleep(2 * LOOK_MS);
  return evidence;
}

async function cancelInTime({ server, jobs }: World): Promise<void> {
  await Promise.all(
    jobs.map(async ({ id, plan: { cancelAt } }) => {
      if (cancelAt === null) return;
      await sleep(cancelAt);
      await server.cancel(id);
    }),
  );
}

/** Strikes at the planned time. Counts only what was done. */
async function strikeInTime(blow: Blow, world: World): Promise<void> {
  await sleep(blow.at);
  const isDone = await strike(blow, world);
  const name = blow.kind === 'evict' ? `evict (${blow.sockets})` : blow.kind;
  if (isDone) world.tally.add(name);
}

async function strike(blow: Blow, { server, jobs, pages }: World): Promise<boolean> {
  switch (blow.kind) {
    case 'kill':
      await server.kill(blow.downMs);
      return true;
    case 'deploy':
      await server.deploy();
      return true;
    case 'evict':
      return await server.evict(jobs[blow.job]?.id ?? '', blow.sockets);
    case 'evict feed':
      return await server.evictFeed();
    case 'sleep':
      pages?.chromium.sleep();
      await sleep(blow.ms);
      pages?.chromium.wake();
      return true;
  }
}

/** What every job came to, once all have ended or had time enough to. */
async function truthsOf({ server, jobs }: World): Promise<Truth[]> {
  const deadline = Date.now() + JOBS_MS;
  const isEnded = async () => {
    const rows = await server.rows();
    return jobs.every(({ id }) => rows.some((row) => row.id === id && isOver(row)));
  };
  while (!(await isEnded()) && Date.now() < deadline) await sleep(LOOK_MS);
  const rows = await server.rows();
  const truths: Truth[] = [];
  for (const { id, plan } of jobs) {
    const { job } = await server.job(id, JobReply);
    truths.push({
      id,
      planned: plan.end,
      status: job.status,
      seq: job.seq,
      endedAt: 'completed_at' in job ? job.completed_at : Infinity,
      changes: (await server.changesOf(id)).map(({ seq }) => seq),
      row: rows.find((row) => row.id === id) ?? null,
    });
  }
  return truths;
}

/** Whether everybody has seen all; a feed goes on, but has nothing more to tell. */
async function areSettled(watchers: readonly Watcher[], evidence: Evidence): Promise<boolean> {
  for (const watcher of watchers) {
    if (watcher.isDone) continue;
    const spectator = await watcher.spectator();
    if (spectator?.transport !== 'feed' || spectator.readyAt === null) return false;
    if (judge(spectator, evidence).learntMs === Infinity) return false;
  }
  return true;
}

async function outcomesOf(evidence: Evidence, { watchers, server }: World): Promise<Outcome[]> {
  const outcomes: Outcome[] = [];
  for (const watcher of watchers) {
    const spectator = await watcher.spectator();
    if (!spectator) continue;
    const { arrivedAt, sightings } = spectator;
    const leftAt = sightings.at(-1)?.at ?? Infinity;
    const restarts = server.restarts.filter((at) => at > arrivedAt && at < leftAt).length;
    const { suffered } = watcher;
    outcomes.push({ ...judge(spectator, evidence), spectator, suffered, restarts });
  }
  return outcomes;
}
