// Responsible for one run against one system: the world, the inputs, the flood, and what is left of the world.
import { setTimeout as sleep } from 'node:timers/promises';
import { routesOfServer, type Route } from './calls.ts';
import { floodFaults } from './flood.ts';
import type { Answer, Input, Outcome } from './input.ts';
import { inputAt } from './inputs.ts';
import { System, type Mode } from './system.ts';
import { changesBetween, faultsIn, growthOf, isRateLimit } from './verdict.ts';
import { exchange } from './wire.ts';
import { lookWhenSettled, watchers } from './witness.ts';
import { LANES, makeWorld, type World } from './world.ts';

export interface RunOptions {
  readonly mode: Mode;
  readonly seed: number;
  readonly count: number;
  /** The only input to make. */
  readonly only?: number;
  /** An empty folder of the run's own. */
  readonly dataDir: string;
  /** Gets a line now and then. */
  readonly tell?: (text: string) => void;
}

/** How inputs of one kind were answered. */
export interface Row {
  inputs: number;
  answered: number;
  /** By status, or by how a connection ended. */
  readonly ends: Map<string, number>;
  slowestMs: number;
}

export interface RunResult {
  readonly mode: Mode;
  readonly seed: number;
  readonly inputs: number;
  readonly rows: ReadonlyMap<string, Row>;
  readonly rateLimited: number;
  /** A sentence each: what did not hold, and for which input. */
  readonly faults: readonly string[];
  /** Memory of the runtime in both halves of the run, bytes. */
  readonly memory: { readonly first: number; readonly second: number };
  readonly tookMs: number;
}

/** After so many inputs the server must still be the one that was started. */
const LOOK_EVERY = 100;
const LEAVE_MS = 20_000;

/** Makes one run. @throws when the system does not start, or a right call is refused. */
export async function runFuzz(options: RunOptions): Promise<RunResult> {
  const routes = await routesOfServer();
  const system = await System.start(options.mode, options.dataDir);
  try {
    const world = await makeWorld(system);
    return await new Run(options, system, world, routes).make();
  } finally {
    await system.close();
  }
}

class Run {
  readonly #options: RunOptions;
  readonly #system: System;
  readonly #world: World;
  readonly #routes: readonly Route[];
  readonly #pids: readonly number[];
  readonly #rows = new Map<string, Row>();
  readonly #faults: string[] = [];
  readonly #memory: number[] = [];
  #rateLimited = 0;
  #done = 0;

  constructor(options: RunOptions, system: System, world: World, routes: readonly Route[]) {
    this.#options = options;
    this.#system = system;
    this.#world = world;
    this.#routes = routes;
    this.#pids = system.pids;
  }

  async make(): Promise<RunResult> {
    const startedAt = Date.now();
    const { mode, seed, count, only } = this.#options;
    const before = await lookWhenSettled(this.#system, this.#world);
    if (only === undefined) {
      await Promise.all(Array.from({ length: LANES }, (_, lane) => this.#lane(lane)));
      this.#faults.push(...(await floodFaults(this.#world)));
    } else await this.#one(only);
    await this.#checkLife();
    await this.#checkWatchers();
    const after = await lookWhenSettled(this.#system, this.#world);
    this.#faults.push(...changesBetween(before, after));
    this.#faults.push(
      ...this.#system.errors.map((line) => `the Worker logged ${line.slice(0, 600)}`),
    );
    return {
      mode,
      seed,
      inputs: only === undefined ? count : 1,
      rows: this.#rows,
      rateLimited: this.#rateLimited,
      faults: this.#faults,
      memory: growthOf(this.#memory),
      tookMs: Date.now() - startedAt,
    };
  }

  /** Every so manieth input, one after the other. */
  async #lane(lane: number): Promise<void> {
    for (let n = lane; n < this.#options.count; n += LANES) {
      await this.#one(n);
      this.#done += 1;
      if (this.#done % LOOK_EVERY === 0) await this.#checkLife();
    }
  }

  async #one(n: number): Promise<void> {
    const { seed, mode, only, tell } = this.#options;
    const input = inputAt(this.#world, this.#routes, seed, n);
    const outcome = await exchange(this.#world.port, input);
    if (only !== undefined) tell?.(describe(input, outcome));
    this.#note(input, outcome);
    for (const fault of faultsIn(input.expect, outcome, this.#system.secrets)) {
      const which = `${mode}, --seed ${seed} --only ${n}, ${input.kind}`;
      this.#faults.push(`${which}: ${input.what}: ${fault}`);
    }
  }

  #note({ kind }: Input, { answer, closeCode, end, ms }: Outcome): void {
    const fresh: Row = { inputs: 0, answered: 0, ends: new Map(), slowestMs: 0 };
    const row = this.#rows.get(kind) ?? fresh;
    this.#rows.set(kind, row);
    row.inputs += 1;
    if (answer) row.answered += 1;
    const how = endOf(answer, closeCode, end);
    row.ends.set(how, (row.ends.get(how) ?? 0) + 1);
    row.slowestMs = Math.max(row.slowestMs, ms);
    if (answer && isRateLimit(answer)) this.#rateLimited += 1;
  }

  /** The same processes run, and answer. */
  async #checkLife(): Promise<void> {
    const memory = this.#system.memory(this.#pids);
    this.#memory.push(memory);
    const held = `${Math.round(memory / 1024 ** 2)} MiB`;
    this.#options.tell?.(`${this.#done} inputs, ${this.#faults.length} faults, ${held}`);
    const pids = this.#system.pids;
    if (this.#pids.some((pid) => !pids.includes(pid))) {
      this.#faults.push(`after about ${this.#done} inputs the server had died`);
    }
    const url = `http://127.0.0.1:${this.#world.port}/healthz`;
    const health = await fetch(url, { signal: AbortSignal.timeout(5000) }).then(
      ({ status }) => `${status}`,
      String,
    );
    if (health !== '200') {
      this.#faults.push(`after about ${this.#done} inputs /healthz answered ${health}`);
    }
  }

  /** Nobody is taken for a viewer any more once all have gone. */
  async #checkWatchers(): Promise<void> {
    const deadline = Date.now() + LEAVE_MS;
    let left = await watchers(this.#world);
    while (left > 0 && Date.now() < deadline) {
      await sleep(500);
      left = await watchers(this.#world);
    }
    if (left > 0) this.#faults.push(`${left} sockets are still counted as viewers`);
  }
}

function endOf(answer: Answer | null, closeCode: number | null, end: Outcome['end']): string {
  if (closeCode !== null) return `close ${closeCode}`;
  if (answer?.status === 101) return end === 'answered' ? 'ignored or refused' : end;
  return answer ? `${answer.status}` : end;
}

function describe({ kind, what, expect }: Input, { answer, ...outcome }: Outcome): string {
  const said = answer && { status: answer.status, body: answer.body.slice(0, 500) };
  return [
    `${kind}: ${what}`,
    JSON.stringify(expect),
    JSON.stringify({ ...outcome, answer: said }),
  ].join('\n');
}
