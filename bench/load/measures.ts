// Responsible for measuring one running server; says nothing about how its figures are shown.
import { setTimeout as sleep } from 'node:timers/promises';
import { microseconds } from './client/clock.ts';
import type { Viewers } from './client/viewers.ts';
import type { Tally } from './client/witness.ts';
import { JOBS, WINDOW, WINDOW_OF_MANY, type Crowd, type Plan } from './plan.ts';
import { cpuOfAll, memoryOfAll } from './servers/processes.ts';
import type { Job, Objects, Reporter, Server } from './servers/server.ts';

export interface Rate {
  /** Acknowledged reports a second. */
  readonly reports: number;
  /** CPU of the server for one of them, µs. */
  readonly cpu: number;
  /** CPU of the bench's own client, % of one core. */
  readonly client: number;
}

/** One job without viewers. */
export async function oneJob(server: Server, plan: Plan): Promise<Rate> {
  const job = await server.openJob();
  return await rateOf(server, [await job.reporter(WINDOW)], WINDOW, plan);
}

/** Many jobs at once, each with a reporter of its own. */
export async function manyJobs(server: Server, plan: Plan): Promise<Rate> {
  const reporters: Reporter[] = [];
  while (reporters.length < JOBS) {
    const opened = Array.from({ length: OPENING }, () => server.openJob());
    for (const job of await Promise.all(opened)) reporters.push(await job.reporter(WINDOW_OF_MANY));
  }
  return await rateOf(server, reporters, WINDOW_OF_MANY, plan);
}

/** Jobs that are made at the same time, while nothing is measured. */
const OPENING = 10;

async function rateOf(
  server: Server,
  reporters: readonly Reporter[],
  window: number,
  { warmUpMs, rateMs }: Plan,
): Promise<Rate> {
  const load = new Load(reporters, window);
  try {
    await sleep(warmUpMs);
    const [from, cpu] = [microseconds(), await cpuOfAll(server.pids)];
    const [before, own] = [load.acknowledged, process.cpuUsage()];
    await sleep(rateMs);
    const seconds = (microseconds() - from) / 1e6;
    const reports = load.acknowledged - before;
    const used = (await cpuOfAll(server.pids)) - cpu;
    const { user, system } = process.cpuUsage(own);
    return {
      reports: reports / seconds,
      cpu: (used / reports) * 1e6,
      client: (user + system) / 1e4 / seconds,
    };
  } finally {
    await load.stop();
    for (const reporter of reporters) reporter.close();
  }
}

/** A closed loop: each acknowledged report makes room for the next. */
class Load {
  readonly #loops: Promise<void>;
  #isOver = false;
  acknowledged = 0;

  constructor(reporters: readonly Reporter[], window: number) {
    const each = (reporter: Reporter) =>
      Array.from({ length: window }, () => this.#repeat(reporter));
    this.#loops = Promise.all(reporters.flatMap(each)).then(() => undefined);
    // Heard of by `stop`.
    this.#loops.catch(() => undefined);
  }

  /** @throws when a report was refused. */
  async stop(): Promise<void> {
    this.#isOver = true;
    await this.#loops;
  }

  async #repeat(reporter: Reporter): Promise<void> {
    while (!this.#isOver) {
      await reporter.report();
      this.acknowledged += 1;
    }
  }
}

export interface Watched {
  /** From the report's sending to the viewer's reading, ms. */
  readonly p50: number;
  readonly p95: number;
  readonly p99: number;
  /** Messages that reached viewers at most, a second; null when this was not asked. */
  readonly delivered: number | null;
  /** CPU of the viewers' process meanwhile, % of one core. */
  readonly client: number | null;
  /** Of the server, with all viewers connected, bytes. */
  readonly memory: number;
  readonly faults: Tally;
}

/** A job with viewers, from their coming to its end. */
export async function watched(
  server: Server,
  viewers: Viewers,
  crowd: Crowd,
  plan: Plan,
): Promise<Watched> {
  const job = await server.openJob();
  const reporter = await job.reporter(WINDOW);
  await viewers.open(job.door, crowd.viewers);
  try {
    const timed = await latency(reporter, viewers, crowd.rate, plan);
    const memory = await memoryOfAll(server.pids);
    const most = crowd.saturated ? await saturation(reporter, viewers, plan) : null;
    const acknowledged = timed.acknowledged + (most?.acknowledged ?? 0);
    await job.end();
    const faults = await viewers.judge(acknowledged, PATIENCE_MS);
    const { p50, p95, p99 } = timed;
    return {
      p50,
      p95,
      p99,
      memory,
      faults,
      delivered: most?.delivered ?? null,
      client: most?.client ?? null,
    };
  } finally {
    reporter.close();
    await viewers.leave();
  }
}

const PATIENCE_MS = 15_000;

/** At a fixed rate, whatever the answers: a slow server must not be asked less often. */
async function latency(reporter: Reporter, viewers: Viewers, rate: number, plan: Plan) {
  const warmUp = Math.ceil((rate * plan.warmUpMs) / 1000);
  await atRate(reporter, rate, warmUp);
  await viewers.mark(true);
  const reports = Math.ceil((rate * plan.latencyMs) / 1000);
  await atRate(reporter, rate, reports);
  // The last ones may be on their way.
  await sleep(SETTLING_MS);
  const { p50, p95, p99 } = await viewers.read();
  if (p50 === null || p95 === null || p99 === null) throw new Error('no viewer heard a report');
  return { p50, p95, p99, acknowledged: warmUp + reports };
}

const SETTLING_MS = 150;

async function atRate(reporter: Reporter, rate: number, reports: number): Promise<void> {
  const from = performance.now();
  const answers: Promise<void>[] = [];
  for (let n = 0; n < reports; n += 1) {
    await sleep(Math.max(0, from + (n * 1000) / rate - performance.now()));
    const answer = reporter.report();
    // A refusal is heard of below; until then it is not to end the process.
    answer.catch(() => undefined);
    answers.push(answer);
  }
  await Promise.all(answers);
}

/** As many reports as the server acknowledges. */
async function saturation(reporter: Reporter, viewers: Viewers, plan: Plan) {
  const load = new Load([reporter], WINDOW);
  try {
    await sleep(plan.warmUpMs);
    await viewers.mark(false);
    await sleep(plan.saturationMs);
    const { messages, seconds, cpu } = await viewers.read();
    const [delivered, client] = [messages / seconds, (cpu / seconds) * 100];
    await load.stop();
    return { delivered, client, acknowledged: load.acknowledged };
  } finally {
    await load.stop();
  }
}

export interface Cold {
  /** Of calls to objects that never were, that were evicted, and of the first to a new process; ms. */
  readonly fresh: readonly number[];
  readonly evicted: readonly number[];
  readonly process: number;
}

/** How long a call takes that finds its object not in memory. Ends with a new process. */
export async function cold(server: Server, objects: Objects, plan: Plan): Promise<Cold> {
  const fresh: number[] = [];
  const evicted: number[] = [];
  const job = await server.openJob();
  for (let n = 0; n < plan.coldCalls; n += 1) {
    fresh.push(await timeOf(() => objects.callNew()));
    evicted.push(await afterEviction(objects, job));
  }
  await objects.restart();
  let reporter: Reporter | undefined;
  const process = await timeOf(async () => {
    reporter = await job.reporter(1);
    await reporter.report();
  });
  reporter?.close();
  return { fresh, evicted, process };
}

async function afterEviction(objects: Objects, job: Job): Promise<number> {
  const reporter = await job.reporter(1);
  await reporter.report();
  // What the report started in the background keeps the object awake.
  await sleep(SETTLING_MS);
  await objects.evict(job);
  const took = await timeOf(() => reporter.report());
  reporter.close();
  return took;
}

async function timeOf(action: () => Promise<void>): Promise<number> {
  const from = performance.now();
  await action();
  return performance.now() - from;
}
