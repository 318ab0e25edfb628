// Responsible for what is there before the first bad input: two tenants with keys, and jobs of theirs in
// every state. All of it is made by right calls.
import { createHash, randomUUID } from 'node:crypto';
import {
  ClaimReply,
  CreateReply,
  KeyReply,
  OutputUploadReply,
  UploadReply,
  type ExportJob,
  type KeyRequest,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { BODIES } from './bodies.ts';
import type { Forge } from './forge.ts';
import { LARGE } from './parts.ts';
import { API_KEY, type Mode, type System } from './system.ts';

/** So many inputs are under way at a time; each has a running job of its own, for its renderer's socket. */
export const LANES = 8;
/** Keys of one tenant with the same rights: calls are counted by key. */
const SPARE_KEYS = 8;

/** A job by hand, which belongs to nobody in particular. */
export const BY_HAND: Job = {
  id: 'by-hand',
  tenant: 'default',
  uploadId: '',
  attempt: 1,
  epoch: 0,
  output: '',
};
/** What the pending job was made under, with its input and nothing else. */
export const NAMED = { 'idempotency-key': 'the-pending-one' };
export const BYTES = 'not a film, but nobody renders it';

export interface Job {
  readonly id: string;
  readonly tenant: string;
  readonly uploadId: string;
  /** Its present attempt and epoch; an epoch only when it was claimed. */
  readonly attempt: number;
  readonly epoch: number;
  /** The token of an output by parts that was begun, or ''. */
  readonly output: string;
}

/** An upload by parts that was begun. */
export interface Begun {
  readonly id: string;
  /** That which fills it. */
  readonly token: string;
}

export interface Tenant {
  readonly name: string;
  /** Each may do everything; the same in number for every tenant. */
  readonly keys: readonly string[];
  readonly pending: Job;
  readonly waiting: Job;
  readonly complete: Job;
  readonly failed: Job;
  readonly cancelled: Job;
  readonly begun: Begun;
  readonly givenUp: Begun;
  /** One for each lane. */
  readonly running: readonly Job[];
}

export interface World {
  readonly mode: Mode;
  readonly port: number;
  readonly forge: Forge;
  readonly acme: Tenant;
  readonly rival: Tenant;
  /** Keys of the first tenant that may not do everything, or nothing. */
  readonly keys: Readonly<Record<'read' | 'create' | 'expired' | 'revoked', string>>;
  /** All of both tenants, and one by hand in development. */
  readonly jobs: readonly Job[];
}

/** Makes it. @throws when a right call is refused. */
export async function makeWorld(system: System): Promise<World> {
  const owner = new RightCalls(system);
  const [acme, rival] = await Promise.all([tenant(owner, 'acme'), tenant(owner, 'rival')]);
  const key = async (more: Partial<KeyRequest>) => (await owner.key('acme', more)).secret;
  const revoked = await owner.key('acme', {});
  await owner.call('DELETE', `/api/keys/${revoked.key.id}`, owner.operator, undefined, v.unknown());
  const { mode, forge, port } = system;
  if (mode === 'development') await owner.init();
  return {
    mode,
    port,
    forge,
    acme,
    rival,
    keys: {
      read: await key({ rights: ['read'] }),
      create: await key({ rights: ['create'] }),
      expired: await key({ expires_at: Date.now() - 1 }),
      revoked: revoked.secret,
    },
    jobs: [...[acme, rival].flatMap(jobsOf), ...(mode === 'development' ? [BY_HAND] : [])],
  };
}

function jobsOf({ pending, waiting, complete, failed, cancelled, running }: Tenant): Job[] {
  return [pending, waiting, complete, failed, cancelled, ...running];
}

async function tenant(owner: RightCalls, name: string): Promise<Tenant> {
  const rights: KeyRequest['rights'] = ['create', 'read', 'cancel', 'delete', 'admin'];
  const keys = await times(SPARE_KEYS, async () => (await owner.key(name, { rights })).secret);
  const [key = ''] = keys;
  const [pending, waiting, complete, failed, cancelled, ...running] = await times(
    5 + LANES,
    async (n) => (n === 0 ? owner.job(name, key, NAMED) : owner.claim(await owner.job(name, key))),
  );
  if (!pending || !waiting || !complete || !failed || !cancelled) throw new Error('too few jobs');
  await owner.fail(waiting, true);
  await owner.fail(failed, false);
  await owner.finish(complete);
  const cancel = `/api/jobs/${cancelled.id}/cancel`;
  await owner.call('POST', cancel, key, undefined, v.unknown());
  const begun = await owner.announce(key);
  const givenUp = await owner.giveUp(await owner.announce(key));
  const working = await Promise.all(running.map((job) => owner.beginOutput(job)));
  return {
    name,
    keys,
    pending,
    waiting,
    complete,
    failed,
    cancelled,
    begun,
    givenUp,
    running: working,
  };
}

function times<T>(count: number, make: (n: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: count }, (_, n) => make(n)));
}

/** Calls as the protocol says they are made. */
class RightCalls {
  readonly operator: string | null;
  readonly #url: string;
  readonly #forge: Forge;

  constructor({ port, forge, mode }: System) {
    this.#url = `http://127.0.0.1:${port}`;
    this.#forge = forge;
    this.operator = mode === 'production' ? API_KEY : null;
  }

  async call<S extends v.GenericSchema>(
    method: string,
    path: string,
    token: string | null,
    body: unknown,
    schema: S,
    more: Record<string, string> = {},
  ): Promise<v.InferOutput<S>> {
    const isText = typeof body === 'string';
    const headers = {
      ...(token !== null && { authorization: `Bearer ${token}` }),
      ...(!isText && body !== undefined && { 'content-type': 'application/json' }),
      ...more,
    };
    const text = isText || body === undefined ? body : JSON.stringify(body);
    const init = { method, headers, ...(text !== undefined && { body: text }) };
    const response = await fetch(`${this.#url}${path}`, init);
    const said = await response.text();
    if (!response.ok) throw new Error(`${method} ${path}: ${response.status} ${said}`);
    return v.parse(v.pipe(v.string(), v.parseJson(), schema), said === '' ? 'null' : said);
  }

  key(tenant: string, more: Partial<KeyRequest>) {
    const body = { name: 'fuzz', tenant, ...more };
    return this.call('POST', '/api/keys', this.operator, body, KeyReply);
  }

  async job(tenant: string, key: string, more: Record<string, string> = {}): Promise<Job> {
    const announced = { filename: 'film.mp4', size: BYTES.length };
    const upload = await this.call('POST', '/api/uploads', key, announced, UploadReply);
    await this.call('PUT', upload.url, null, BYTES, v.unknown());
    const input = { upload_id: upload.upload_id };
    const made = await this.call('POST', '/api/jobs', key, { input }, CreateReply, more);
    const { id, attempt }: ExportJob = made.job;
    return { id, tenant, uploadId: upload.upload_id, attempt, epoch: 0, output: '' };
  }

  async announce(key: string): Promise<Begun> {
    const announced = { filename: 'film.mp4', size: LARGE };
    const reply = await this.call('POST', '/api/uploads', key, announced, UploadReply);
    return { id: reply.upload_id, token: reply.parts?.token ?? '' };
  }

  async giveUp(upload: Begun): Promise<Begun> {
    await this.call('DELETE', `/api/uploads/${upload.id}`, upload.token, undefined, v.unknown());
    return upload;
  }

  async beginOutput(job: Job): Promise<Job> {
    const body = BODIES.beginOutput().value;
    const path = `/api/jobs/${job.id}/output/${job.epoch}`;
    const reply = await this.call('POST', path, this.#attempt(job), body, OutputUploadReply);
    return { ...job, output: reply.upload };
  }

  async init(): Promise<void> {
    const { id } = BY_HAND;
    const body = { id, status: 'processing', progress: 50 };
    await this.call('POST', `/api/jobs/${id}/do/init`, null, body, v.unknown());
  }

  async claim(job: Job): Promise<Job> {
    const body = { nonce: randomUUID(), provider_job_id: null, worker_id: null };
    const path = `/api/jobs/${job.id}/do/claim`;
    const { epoch } = await this.call('POST', path, this.#attempt(job), body, ClaimReply);
    return { ...job, epoch };
  }

  async fail(job: Job, mayRetry: boolean): Promise<void> {
    const code = mayRetry ? 'renderer_error' : 'input_invalid';
    const body = { epoch: job.epoch, error: 'broken', code };
    await this.call('POST', `/api/jobs/${job.id}/do/error`, this.#attempt(job), body, v.unknown());
  }

  async finish(job: Job): Promise<void> {
    const sha256 = createHash('sha256').update(BYTES).digest('hex');
    const side = { width: 64, height: 36, duration_ms: 1000, frames: 24 };
    const manifest = { size: BYTES.length, sha256, ...side };
    const token = this.#attempt(job);
    const put = `/api/jobs/${job.id}/output/${job.epoch}`;
    const header = { 'x-export-manifest': JSON.stringify(manifest) };
    await this.call('PUT', put, token, BYTES, v.unknown(), header);
    const body = { epoch: job.epoch, output_video_key: outputKey(job), manifest };
    await this.call('POST', `/api/jobs/${job.id}/do/complete`, token, body, v.unknown());
  }

  #attempt(job: Job): string {
    return attemptToken(this.#forge, job);
  }
}

/** What a job's owner shows: a key of its tenant, or nothing for a job by hand. */
export function ownerHeaders({ acme, rival }: World, { tenant }: Job): Record<string, string> {
  const owner = [acme, rival].find(({ name }) => name === tenant);
  return owner ? { authorization: `Bearer ${owner.keys[0]}` } : {};
}

/** Where the owner of an attempt writes. */
export function outputKey({ tenant, id, attempt, epoch }: Job): string {
  return `out/${tenant}/${id}/${attempt}/${epoch}/video.mp4`;
}

/** The token of a job's present attempt. */
export function attemptToken(forge: Forge, { id, tenant, attempt }: Job): string {
  return forge.token('attempt', { j: id, t: tenant, a: attempt });
}
