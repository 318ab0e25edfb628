// Responsible for what a case is played on: both stand-ins, the renderer's processes, and a folder.
import { randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import path from 'node:path';
import * as v from 'valibot';
import { startStandIn, type StandIn } from '../renderer/src/runpod/stand-in/index.ts';
import { ForeignServer } from './foreign.ts';
import type { Case } from './format.ts';
import type { Known } from './match.ts';
import { RendererProcess } from './renderer-process.ts';
import { ExportServer } from './server.ts';
import type { Sources } from './sources.ts';
import { Wire } from './wire.ts';

const PING_INTERVAL_MS = 1000;
const View = v.looseObject({ id: v.string(), status: v.string() });

export interface StageSetup {
  /** The program and its arguments. */
  readonly command: readonly string[];
  /** What its environment has beside that of this process. */
  readonly env?: Readonly<Record<string, string>>;
  readonly sources: Sources;
  /** Where each case gets a folder for its processes' files. */
  readonly folder: string;
}

export class Stage {
  readonly runpod: StandIn;
  readonly server: ExportServer;
  readonly wire: Wire;
  readonly #foreign: ForeignServer | undefined;
  readonly #setup: StageSetup;
  readonly #folder: string;
  readonly #endpoint: string;
  readonly #key: string;
  readonly #processes: RendererProcess[] = [];
  #jobId: string | undefined;

  private constructor(parts: {
    readonly runpod: StandIn;
    readonly server: ExportServer;
    readonly wire: Wire;
    readonly foreign: ForeignServer | undefined;
    readonly setup: StageSetup;
    readonly folder: string;
    readonly endpoint: string;
    readonly key: string;
  }) {
    this.runpod = parts.runpod;
    this.server = parts.server;
    this.wire = parts.wire;
    this.#foreign = parts.foreign;
    this.#setup = parts.setup;
    this.#folder = parts.folder;
    this.#endpoint = parts.endpoint;
    this.#key = parts.key;
  }

  static async open(test: Case, setup: StageSetup): Promise<Stage> {
    // Neither is ever the same, so that nobody passes who has built an address or kept a key.
    const endpoint = `ep${randomBytes(4).toString('hex')}`;
    const key = `rpa_${randomBytes(24).toString('hex')}`;
    const { runpodLeaseMs: leaseMs, pollMs: holdMs } = test;
    const options = { port: 0, apiKey: key, endpointId: endpoint, leaseMs, holdMs };
    const runpod = await startStandIn(options);
    const wire = new Wire(() => runpod.trace());
    const folder = await mkdtemp(path.join(setup.folder, 'case-'));
    const source = setup.sources[test.source];
    const { foreign: leads } = test;
    const foreign = leads && (await ForeignServer.open({ leads, source, folder, wire }));
    const server = await ExportServer.open({
      source,
      foreign: foreign?.source,
      options: test.options,
      leaseMs: test.leaseMs,
      channel: test.channel,
      partSize: test.parts,
      wire,
    });
    return new Stage({ runpod, server, wire, foreign, setup, folder, endpoint, key });
  }

  /** What placeholders stand for by now. */
  get known(): Known {
    const { token, stored } = this.server;
    return {
      $jobId: this.#jobId,
      $endpoint: this.#endpoint,
      $token: token,
      $key: this.#key,
      $size: stored?.size,
      $sha256: stored?.sha256,
    };
  }

  /** What all processes printed, the end of it. */
  get output(): string {
    return this.#processes.map(({ worker, output }) => `${worker}:\n${output}`).join('\n');
  }

  get processes(): readonly RendererProcess[] {
    return this.#processes;
  }

  /** @throws when no such worker was started. */
  process(worker: string): RendererProcess {
    const found = this.#processes.findLast((process) => process.worker === worker);
    if (!found) throw new Error(`the case has not started ${worker}`);
    return found;
  }

  start(worker: string): void {
    const { wire } = this;
    const { command, env: own } = this.#setup;
    const given = this.#runpodEnv(worker);
    const env = {
      ...inherited(),
      TMPDIR: this.#folder,
      ...this.#foreign?.env,
      ...own,
      ...given,
    };
    this.#processes.push(new RendererProcess({ command, env, worker, wire }));
  }

  /** Hands a job over as the dispatcher does. */
  async submit(input: Readonly<Record<string, unknown>> = this.server.ticket): Promise<void> {
    this.#jobId = (await this.#ask('run', { input })).id;
  }

  async cancel(): Promise<void> {
    await this.#ask(`cancel/${this.#jobId}`, {});
  }

  /** How the job stands at RunPod. */
  async status(): Promise<string> {
    return (await this.#ask(`status/${this.#jobId}`, {})).status;
  }

  async close(): Promise<void> {
    await Promise.all(this.#processes.map((process) => process.kill()));
    this.#foreign?.close();
    await Promise.all([this.runpod.close(), this.server.close()]);
    await rm(this.#folder, { recursive: true, force: true });
  }

  async #ask(call: string, body: object) {
    const response = await fetch(`${this.runpod.url}/v2/${this.#endpoint}/${call}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${this.#key}` },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`the stand-in refused ${call} with ${response.status}`);
    return v.parse(View, await response.json());
  }

  /** Each address carries a mark that only who fills in the template brings back. */
  #runpodEnv(worker: string): Record<string, string> {
    const env = this.runpod.workerEnv(worker);
    for (const [name, value] of Object.entries(env)) {
      const mark = /^RUNPOD_WEBHOOK_(?:GET|POST)?_?(\w+)$/.exec(name)?.[1];
      if (mark) env[name] = `${value}&mark=${mark.toLowerCase()}`;
    }
    return { ...env, RUNPOD_PING_INTERVAL: `${PING_INTERVAL_MS}` };
  }
}

/** The environment of this process, without what would make it a worker of somewhere else. */
function inherited(): Record<string, string> {
  const env: Record<string, string> = {};
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && !name.startsWith('RUNPOD_')) env[name] = value;
  }
  return env;
}
