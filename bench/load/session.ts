// Responsible for the order of measuring: in each repeat, each measure for all contestants in turn, so that
// a machine whose speed drifts treats them alike.
import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { median } from '../lib/report.ts';
import { Viewers } from './client/viewers.ts';
import type { Tally } from './client/witness.ts';
import { FLOOR } from './contestants.ts';
import * as figures from './figures.ts';
import { cold, manyJobs, oneJob, watched, type Rate } from './measures.ts';
import type { Crowd, Plan } from './plan.ts';
import { Results } from './results.ts';
import { Absent, type Contestant, type Server } from './servers/server.ts';

interface Running {
  readonly contestant: Contestant;
  readonly server: Server;
}

/** Why some contestants have no figures, or not all. */
export type Absence = ReadonlyMap<string, string>;

export class Session {
  readonly #folder: string;
  readonly #plan: Plan;
  readonly #results = new Results(FLOOR);
  readonly #absent = new Map<string, string>();
  readonly #viewers = new Viewers();
  #running: Running[] = [];
  #repeat = 0;

  constructor(folder: string, plan: Plan) {
    this.#folder = folder;
    this.#plan = plan;
  }

  async run(contestants: readonly Contestant[]): Promise<{ results: Results; absent: Absence }> {
    while (this.#repeat < this.#plan.repeats) {
      this.#repeat += 1;
      const present = contestants.filter(({ name }) => !this.#absent.has(name));
      for (const contestant of present) await this.#start(contestant);
      await this.#measureAll();
      await this.#stopAll();
    }
    return { results: this.#results, absent: this.#absent };
  }

  /** Ends every process of the session. */
  async close(): Promise<void> {
    await Promise.all([this.#stopAll(), this.#viewers.close()]);
  }

  async #measureAll(): Promise<void> {
    const plan = this.#plan;
    await this.#each('reports on one job', async ({ server, contestant }) =>
      this.#addRate(contestant, figures.ONE, await oneJob(server, plan)),
    );
    await this.#each('reports on many jobs', async ({ server, contestant }) =>
      this.#addRate(contestant, figures.MANY, await manyJobs(server, plan)),
    );
    for (const crowd of plan.crowds) {
      await this.#each(`${crowd.viewers} viewers`, (one) => this.#watch(one, crowd));
    }
    await this.#each('cold starts', (one) => this.#coldStart(one));
  }

  /** A contestant that fails leaves; the others go on. */
  async #each(what: string, measure: (one: Running) => Promise<void>): Promise<void> {
    process.stderr.write(`${this.#repeat}/${this.#plan.repeats} ${what}\n`);
    for (const one of this.#running) {
      try {
        await measure(one);
      } catch (error) {
        await this.#dismiss(one.contestant, `failed at ${what}: ${String(error)}`, one.server);
      }
    }
  }

  async #start(contestant: Contestant): Promise<void> {
    const folder = path.join(this.#folder, `${this.#repeat} ${contestant.name}`);
    await mkdir(folder);
    try {
      this.#running.push({ contestant, server: await contestant.start(folder) });
    } catch (error) {
      const why = error instanceof Absent ? `skipped: ${error.message}` : String(error);
      await this.#dismiss(contestant, why);
    }
  }

  async #dismiss({ name }: Contestant, why: string, server?: Server): Promise<void> {
    process.stderr.write(`${name}: ${why}\n`);
    this.#absent.set(name, why);
    if (!why.startsWith('skipped')) process.exitCode = 1;
    this.#running = this.#running.filter(({ contestant }) => contestant.name !== name);
    await server?.close();
  }

  async #stopAll(): Promise<void> {
    const running = this.#running;
    this.#running = [];
    for (const { server } of running) await server.close();
  }

  #addRate(contestant: Contestant, names: figures.RateFigures, rate: Rate): void {
    this.#add(contestant, names.reports, rate.reports);
    this.#add(contestant, names.cpu, rate.cpu);
    this.#add(contestant, names.client, rate.client);
  }

  async #watch({ contestant, server }: Running, crowd: Crowd): Promise<void> {
    const seen = await watched(server, this.#viewers, crowd, this.#plan);
    const names = figures.crowd(crowd.viewers);
    this.#add(contestant, names.p50, seen.p50);
    this.#add(contestant, names.p95, seen.p95);
    this.#add(contestant, names.p99, seen.p99);
    this.#add(contestant, names.memory, seen.memory / 1e6);
    if (seen.delivered !== null) this.#add(contestant, names.delivered, seen.delivered);
    if (seen.client !== null) this.#add(contestant, names.client, seen.client);
    this.#add(contestant, names.lost, lostOf(contestant, seen.faults));
    this.#add(contestant, names.fell, seen.faults.fell);
    this.#add(contestant, names.unheard, seen.faults.unheard);
  }

  async #coldStart({ contestant, server }: Running): Promise<void> {
    if (!server.objects) return;
    const { fresh, evicted, process } = await cold(server, server.objects, this.#plan);
    this.#add(contestant, figures.COLD.fresh, median(fresh));
    this.#add(contestant, figures.COLD.evicted, median(evicted));
    this.#add(contestant, figures.COLD.process, process);
  }

  #add({ name }: Contestant, figure: string, value: number): void {
    this.#results.add(name, this.#repeat, figure, value);
  }
}

function lostOf({ promisesAll }: Contestant, faults: Tally): number {
  const { noEnd, endedAgain, afterEnd, unheard } = faults;
  return noEnd + endedAgain + afterEnd + (promisesAll ? unheard : 0);
}
