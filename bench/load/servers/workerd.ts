// Responsible for workerd processes. The sockets are the Worker's own: neither `wrangler dev` nor
// Miniflare's entry Worker stands between, which would cost more than what is measured.
import path from 'node:path';
import { convertV4MiniflareOptions, Log, LogLevel, Miniflare } from 'miniflare';
import { childrenOf } from './processes.ts';
import type { Script } from './bundle.ts';

export interface WorkerdOptions {
  readonly script: Script;
  readonly port: number;
  /** Where D1, R2 and the objects keep their data. */
  readonly folder: string;
  readonly className: string;
  /** The name of the objects' binding. Default `EXPORT_JOB`. */
  readonly binding?: string;
  readonly variables?: Readonly<Record<string, string>>;
  /** SQL that makes the tables of D1. */
  readonly migrations?: readonly string[];
}

const NAME = 'bench';

/** A running workerd with one Worker. */
export class Workerd {
  readonly #options: WorkerdOptions;
  #miniflare: Miniflare | undefined;
  #pid = 0;

  constructor(options: WorkerdOptions) {
    this.#options = options;
  }

  get pid(): number {
    return this.#pid;
  }

  /** Must not be called while another process is being started: its own is the one that is new. */
  async start(): Promise<void> {
    const before = new Set(await childrenOf(process.pid, 'workerd'));
    this.#miniflare = new Miniflare(convertV4MiniflareOptions(this.#settings()));
    await this.#miniflare.ready;
    const [pid] = (await childrenOf(process.pid, 'workerd')).filter((one) => !before.has(one));
    if (pid === undefined) throw new Error('workerd is not among the children');
    this.#pid = pid;
  }

  async migrate(): Promise<void> {
    const db = await this.#running.getD1Database('DB');
    for (const sql of this.#options.migrations ?? []) await db.prepare(sql).run();
  }

  /** Takes an object out of memory, as its hibernation does; its sockets stay. */
  async evict(name: string): Promise<void> {
    const { className } = this.#options;
    await this.#running.unsafeEvictDurableObject(NAME, className, {
      name,
      webSockets: 'hibernate',
    });
  }

  async restart(): Promise<void> {
    await this.close();
    await this.start();
  }

  async close(): Promise<void> {
    await this.#miniflare?.dispose();
    this.#miniflare = undefined;
  }

  get #running(): Miniflare {
    if (!this.#miniflare) throw new Error('workerd is not running');
    return this.#miniflare;
  }

  #settings() {
    const { script, port, folder, className, binding = 'EXPORT_JOB', variables } = this.#options;
    const { code, ...compatibility } = script;
    return {
      ...compatibility,
      name: NAME,
      modules: [{ type: 'ESModule' as const, path: 'worker.mjs', contents: code }],
      durableObjects: { [binding]: { className, useSQLite: true } },
      d1Databases: ['DB'],
      r2Buckets: ['VIDEOS'],
      bindings: { ...variables },
      resourcePersistencePath: path.join(folder, 'state'),
      unsafeDirectSockets: [{ host: '127.0.0.1', port }],
      log: new Log(LogLevel.ERROR),
      // It would be fetched.
      cf: false,
    };
  }
}
