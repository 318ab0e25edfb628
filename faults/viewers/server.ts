// Responsible for the server: this project's Worker on raw workerd, configured as in production, that can be
// killed, deployed anew and deprived of its objects' memory, always on the same storage.
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { CreateReply, FeedTokenReply, ListReply, UploadReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import { bundle, type Script } from '../../bench/load/servers/bundle.ts';
import { migrationsOf } from '../../bench/load/servers/migrations.ts';
import { Source } from '../../bench/load/servers/source.ts';
import { freePort } from '../../scripts/lib/port.ts';
import type { Forgetting } from './judge.ts';
import type { Film } from './renderer.ts';
import type { Eviction } from './runtime-orders.ts';
import { Runtime } from './runtime.ts';

const API_KEY = 'k'.repeat(32);
const PATIENCE_MS = 60_000;
/** The one tenant that there is, by whom its feed is named. */
const TENANT = 'default';

/** Times short enough that attempts which are lost come again within a run. */
const POLICY = {
  lease_ms: 20_000,
  connected_ms: 25_000,
  retry_base_ms: 300,
  retry_cap_ms: 1500,
  report_watched_ms: 400,
  report_unwatched_ms: 600,
  report_posted_ms: 500,
  unknown_ms: 3000,
  ask_ms: 3000,
  ask_cap_ms: 6000,
};

const Change = v.object({ seq: v.number(), view: v.object({ status: v.string() }) });
export type Change = v.InferOutput<typeof Change>;

export class Server {
  readonly port: number;
  readonly forgotten: Forgetting[] = [];
  /** When its process ended, epoch ms. */
  readonly restarts: number[] = [];
  readonly #folder: string;
  readonly #script: Script;
  readonly #variables: Readonly<Record<string, string>>;
  readonly #runtime: Runtime;
  #version = 1;
  #isEvicting = false;
  /** One thing at a time is done to it. */
  #turn: Promise<void> = Promise.resolve();

  private constructor(
    port: number,
    folder: string,
    script: Script,
    provider: Readonly<Record<string, string>>,
  ) {
    this.port = port;
    this.#folder = folder;
    this.#runtime = new Runtime(path.join(folder, 'worker.log'));
    this.#script = script;
    this.#variables = {
      ...provider,
      API_KEY,
      SIGNING_KEYS: `k1:${'0123456789abcdef'.repeat(4)}`,
      ID_KEY: 'fedcba9876543210'.repeat(4),
      PUBLIC_URL: `http://127.0.0.1:${port}`,
      POLICY: JSON.stringify(POLICY),
    };
  }

  /** Starts it on an empty folder. */
  static async start(folder: string, provider: Readonly<Record<string, string>>): Promise<Server> {
    const source = new Source();
    const script = await bundle(source, 'workers', 'src', 'index.ts');
    const server = new Server(await freePort(), folder, script, provider);
    await server.#start(await migrationsOf(source, 'workers'));
    return server;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Ends the process as a crash does, and starts it again after a while, ms. */
  kill(downMs: number): Promise<void> {
    return this.#restart(async () => {
      await this.#runtime.kill();
      await sleep(downMs);
    });
  }

  /** Replaces the code by a newer version of it, as a deploy does. */
  deploy(): Promise<void> {
    this.#version += 1;
    return this.#restart(() => this.#runtime.stop());
  }

  /**
   * Takes a job's object out of memory as soon as it is quiet; its sockets sleep with it, or are closed.
   * @returns false when another one is still waited for, and nothing was done.
   */
  evict(jobId: string, webSockets: Eviction['webSockets']): Promise<boolean> {
    return this.#evict('ExportJobState', jobId, webSockets);
  }

  /** The same with the owner's feed, whose sockets sleep. */
  evictFeed(): Promise<boolean> {
    return this.#evict('ExportFeed', TENANT, 'hibernate');
  }

  async close(): Promise<void> {
    await this.#inTurn(() => this.#runtime.close());
  }

  /** Uploads the bytes that all jobs are made from. @returns the upload's id. */
  async upload(film: Film): Promise<string> {
    const body = { filename: 'film.mp4', size: film.bytes.length };
    const made = await this.#call('POST', '/api/uploads', UploadReply, body);
    const put = await fetch(`${this.url}${made.url}`, {
      method: 'PUT',
      body: await readFile(film.path),
    });
    if (!put.ok) throw new Error(`the upload was answered with ${put.status}`);
    return made.upload_id;
  }

  create(uploadId: string): Promise<CreateReply> {
    return this.#call('POST', '/api/jobs', CreateReply, { input: { upload_id: uploadId } });
  }

  async feedToken(): Promise<string> {
    return (await this.#call('POST', '/api/feed/tokens', FeedTokenReply, {})).feed_token;
  }

  /** Cancels, however often it takes; a job that has ended otherwise stays as it is. */
  async cancel(jobId: string): Promise<void> {
    const deadline = Date.now() + PATIENCE_MS;
    while (Date.now() < deadline) {
      const response = await this.#send('POST', `/api/jobs/${jobId}/cancel`, {}).catch(() => null);
      if (response?.ok || response?.status === 409) return;
      await sleep(300);
    }
  }

  /** Every change of a job, in order. */
  async changesOf(jobId: string): Promise<Change[]> {
    const response = await this.#send('GET', `/api/jobs/${jobId}/events`);
    const lines = (await response.text()).trim().split('\n');
    return lines.map((line) => v.parse(v.pipe(v.string(), v.parseJson(), Change), line));
  }

  /** An answer about a job, as its owner gets it. */
  job<S extends v.GenericSchema>(jobId: string, schema: S): Promise<v.InferOutput<S>> {
    return this.#call('GET', `/api/jobs/${jobId}`, schema);
  }

  /** All jobs, as D1 has them. */
  async rows(): Promise<ListReply['data']> {
    return (await this.#call('GET', '/api/jobs?limit=100', ListReply)).data;
  }

  async #call<S extends v.GenericSchema>(
    method: string,
    at: string,
    schema: S,
    body?: unknown,
  ): Promise<v.InferOutput<S>> {
    const response = await this.#send(method, at, body);
    const text = await response.text();
    if (!response.ok) throw new Error(`${method} ${at}: ${response.status} ${text}`);
    return v.parse(v.pipe(v.string(), v.parseJson(), schema), text);
  }

  #send(method: string, at: string, body?: unknown): Promise<Response> {
    const headers = { authorization: `Bearer ${API_KEY}`, 'content-type': 'application/json' };
    const signal = AbortSignal.timeout(10_000);
    const sent = body === undefined ? {} : { body: JSON.stringify(body) };
    return fetch(`${this.url}${at}`, { method, headers, signal, ...sent });
  }

  #inTurn(action: () => Promise<void>): Promise<void> {
    const mine = this.#turn.then(action);
    this.#turn = mine.catch(() => undefined);
    return mine;
  }

  /** Does not wait its turn: what is killed meanwhile has forgotten more than that. */
  async #evict(
    className: string,
    name: string,
    webSockets: Eviction['webSockets'],
  ): Promise<boolean> {
    if (this.#isEvicting) return false;
    this.#isEvicting = true;
    const from = Date.now();
    await this.#runtime.evict({ className, name, webSockets });
    this.forgotten.push({ jobId: name, from, to: Date.now() });
    this.#isEvicting = false;
    return true;
  }

  /** Ends the process and starts it again, somehow; all memory is lost with it. */
  #restart(end: () => Promise<void>): Promise<void> {
    return this.#inTurn(async () => {
      const from = Date.now();
      this.restarts.push(from);
      await end();
      await this.#start();
      this.forgotten.push({ jobId: null, from, to: Date.now() });
    });
  }

  async #start(migrations: string[] = []): Promise<void> {
    const { code, ...script } = this.#script;
    await this.#runtime.start({
      script: { ...script, code: `${code}\n// version ${this.#version}\n` },
      port: this.port,
      folder: path.join(this.#folder, 'state'),
      variables: this.#variables,
      migrations,
    });
  }
}
