import { evictDurableObject } from 'cloudflare:test';
import { env, exports } from 'cloudflare:workers';
import {
  BEARER_SUBPROTOCOL,
  ClaimReply,
  CreateReply,
  JobReply,
  Problem,
  RENDERER_SUBPROTOCOL,
  RenderTicket,
  RendererNotice,
  UploadReply,
  WebSocketMessage,
} from '@export-jobs/protocol';
import type {
  ExportJob,
  ExportOptionsInput,
  JobMessage,
  OutputManifest,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { afterEach, beforeEach, vi } from 'vitest';

// The Worker as its callers see it, for tests inside workerd. Only RunPod is played, by `provider`.

export const ORIGIN = 'http://localhost';

/** One request to the Worker. */
export function call(path: string, init: RequestInit = {}): Promise<Response> {
  return exports.default.fetch(new Request(`${ORIGIN}${path}`, init));
}

export function post(path: string, body: unknown, headers: Record<string, string> = {}) {
  return call(path, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: typeof body === 'string' ? body : JSON.stringify(body),
  });
}

/** The code of a problem, after checking that it is one and leaks nothing. */
export async function problemOf(response: Response): Promise<Problem> {
  const text = await response.text();
  if (/\bat .*\.ts:\d|ej1\./.test(text)) throw new Error(`leaks: ${text}`);
  return v.parse(Problem, JSON.parse(text));
}

/** The body of a file, which is served as one and not as text. */
export async function textOf(response: Response): Promise<string> {
  return new TextDecoder().decode(await response.arrayBuffer());
}

/** Where a finished job's file is. */
export function urlOf(job: ExportJob): string {
  if (job.status !== 'complete') throw new Error(`the job is ${job.status}`);
  return job.output_url;
}

export function stubOf(id: string) {
  return env.EXPORT_JOB.getByName(id);
}

/** What the provider was asked, and what it will answer next. */
export const provider = {
  tickets: [] as { id: string; input: RenderTicket; webhook: string }[],
  stopped: [] as string[],
  answers: [] as (() => Response | Promise<Response>)[],
  /** What it says of a job when asked, after how often it was asked; a job that is not here, 404. */
  jobs: new Map<string, { status: string; error?: string; asked: number }>(),
  workers: {} as Record<string, number>,
};

const RunBody = v.object({
  input: RenderTicket,
  webhook: v.string(),
  policy: v.object({ executionTimeout: v.number(), ttl: v.number() }),
});

/** Plays RunPod's client API for the tests of a file. */
export function playProvider(): void {
  beforeEach(() => {
    Object.assign(provider, { tickets: [], stopped: [], answers: [], workers: {} });
    provider.jobs.clear();
    vi.spyOn(globalThis, 'fetch').mockImplementation(async (target, init) => {
      const request = new Request(target, init);
      if (request.headers.get('authorization') !== 'Bearer test-key')
        return new Response('', { status: 401 });
      const { pathname } = new URL(request.url);
      const scripted = provider.answers.shift();
      if (scripted) return scripted();
      const stopped = /^\/v2\/ep\/cancel\/(.+)$/.exec(pathname)?.[1];
      if (stopped) {
        provider.stopped.push(stopped);
        return Response.json({ id: stopped, status: 'CANCELLED' });
      }
      if (request.method === 'GET') return told(pathname);
      const { input, webhook } = v.parse(RunBody, await request.json());
      const id = `remote-${provider.tickets.length + 1}`;
      provider.tickets.push({ id, input, webhook });
      provider.jobs.set(id, { status: 'IN_QUEUE', asked: 0 });
      return Response.json({ id, status: 'IN_QUEUE' });
    });
  });
  afterEach(() => {
    vi.restoreAllMocks();
    vi.useRealTimers();
  });
}

function told(pathname: string): Response {
  if (pathname === '/v2/ep/health') return Response.json({ jobs: {}, workers: provider.workers });
  const id = /^\/v2\/ep\/status\/(.+)$/.exec(pathname)?.[1] ?? '';
  const job = provider.jobs.get(id);
  if (!job) return new Response('', { status: 404 });
  job.asked += 1;
  const { status, error } = job;
  return Response.json({ id, status, ...(error && { error }) });
}

export async function upload(bytes: string, filename = 'my clip.mov'): Promise<string> {
  const made = await post('/api/uploads', { filename, size: bytes.length });
  const { upload_id, url } = v.parse(UploadReply, await made.json());
  const put = await call(url, {
    method: 'PUT',
    body: bytes,
    headers: { 'content-length': String(bytes.length) },
  });
  if (put.status !== 200) throw new Error(await put.text());
  return upload_id;
}

export async function createJob(
  options: ExportOptionsInput = {},
  headers: Record<string, string> = {},
): Promise<ExportJob> {
  const upload_id = await upload('the source');
  const response = await post('/api/jobs', { input: { upload_id }, options }, headers);
  if (response.status !== 201) throw new Error(await response.text());
  return v.parse(CreateReply, await response.json()).job;
}

export async function getJob(id: string): Promise<ExportJob> {
  return v.parse(JobReply, await (await call(`/api/jobs/${id}`)).json()).job;
}

export const MINUTE = 60_000;

/** Moves time on, ms; `Date` must be faked. */
export function later(ms: number): void {
  vi.setSystemTime(Date.now() + ms);
}

/** Waits for a condition on what can be seen from outside. */
export async function until<T>(look: () => T | Promise<T>): Promise<NonNullable<T>> {
  return vi.waitFor(
    async () => {
      const seen = await look();
      if (seen === null || seen === undefined || seen === false) throw new Error('not yet');
      return seen;
    },
    { timeout: 30_000, interval: 5 },
  );
}

/** The next hand-over that the provider gets for a job. */
export function ticketOf(jobId: string, attempt = 1) {
  return until(() =>
    provider.tickets.find(({ input }) => input.job_id === jobId && input.attempt === attempt),
  );
}

/** A renderer as the Worker sees it: one process that was handed a ticket. */
export class FakeRenderer {
  readonly id: string;
  readonly ticket: RenderTicket;
  readonly nonce: string;
  readonly hardware: string;
  claimed: ClaimReply | null = null;
  seq = 0;

  constructor(
    handed: { id: string; input: RenderTicket },
    nonce: string = crypto.randomUUID(),
    hardware = 'cpu',
  ) {
    this.hardware = hardware;
    this.id = handed.id;
    this.ticket = handed.input;
    this.nonce = nonce;
  }

  /** One that has taken the job's ticket and claimed the attempt. */
  static async claims(jobId: string, attempt = 1): Promise<FakeRenderer> {
    const renderer = new FakeRenderer(await ticketOf(jobId, attempt));
    await renderer.claim();
    return renderer;
  }

  get auth() {
    return { authorization: `Bearer ${this.ticket.token}` };
  }

  post(name: string, body: object): Promise<Response> {
    return post(`${new URL(this.ticket.callback_url).pathname}/${name}`, body, this.auth);
  }

  async claim(): Promise<ClaimReply> {
    const { nonce, id: provider_job_id, hardware } = this;
    const body = { nonce, provider_job_id, worker_id: 'gpu-1', hardware };
    const response = await this.post('claim', body);
    this.claimed = v.parse(ClaimReply, await response.json());
    return this.claimed;
  }

  progress(progress: number, more: object = {}): Promise<Response> {
    this.seq += 1;
    return this.post('progress', { progress, epoch: this.claimed?.epoch, seq: this.seq, ...more });
  }

  /** Opens its socket, and keeps all that is said there. */
  async connect(): Promise<RendererSocket> {
    const { pathname, search } = new URL(this.claimed?.channel?.url ?? '');
    const response = await call(`${pathname}${search}`, {
      headers: {
        upgrade: 'websocket',
        'sec-websocket-protocol': `${RENDERER_SUBPROTOCOL}, ${BEARER_SUBPROTOCOL}${this.ticket.token}`,
      },
    });
    if (!response.webSocket) throw new Error(`${response.status} ${await response.text()}`);
    return new RendererSocket(response.webSocket, this);
  }

  async putOutput(bytes: string): Promise<Response> {
    return call(new URL(this.claimed?.output.url ?? '').pathname, {
      method: 'PUT',
      body: bytes,
      headers: {
        ...this.auth,
        'content-length': String(bytes.length),
        'x-export-manifest': JSON.stringify(await this.manifest(bytes)),
      },
    });
  }

  async manifest(bytes: string): Promise<OutputManifest> {
    const hash = await sha256(bytes);
    const measured = { width: 64, height: 36, duration_ms: 1000, frames: 24 };
    return { size: bytes.length, sha256: hash, ...measured };
  }

  async complete(bytes: string, more: object = {}): Promise<Response> {
    const manifest = await this.manifest(bytes);
    const { epoch, output } = this.claimed ?? {};
    return this.post('complete', { epoch, output_video_key: output?.key, manifest, ...more });
  }

  error(code: string, more: object = {}): Promise<Response> {
    return this.post('error', { error: 'it broke', code, epoch: this.claimed?.epoch, ...more });
  }
}

/** A renderer's socket as the Worker sees it. */
export class RendererSocket {
  readonly heard: RendererNotice[] = [];
  closed: { code: number; reason: string } | null = null;
  readonly socket: WebSocket;
  readonly #renderer: FakeRenderer;

  constructor(socket: WebSocket, renderer: FakeRenderer) {
    this.socket = socket;
    this.#renderer = renderer;
    socket.addEventListener('message', ({ data }) => {
      this.heard.push(v.parse(RendererNotice, JSON.parse(String(data))));
    });
    socket.addEventListener('close', ({ code, reason }) => {
      this.closed = { code, reason };
    });
    socket.accept();
  }

  /** Makes a call and waits for its answer. */
  say(type: 'progress' | 'complete' | 'error', body: object) {
    this.#renderer.seq += 1;
    const { seq } = this.#renderer;
    const epoch = this.#renderer.claimed?.epoch;
    this.socket.send(JSON.stringify({ type, epoch, seq, ...body }));
    return until(() => this.heard.find((notice) => 'seq' in notice && notice.seq === seq));
  }

  progress(progress: number, more: object = {}) {
    return this.say('progress', { progress, ...more });
  }

  async complete(bytes: string) {
    const manifest = await this.#renderer.manifest(bytes);
    const { output } = this.#renderer.claimed ?? {};
    return this.say('complete', { output_video_key: output?.key, manifest });
  }

  /** The first notice of a type. */
  told(type: RendererNotice['type']) {
    return until(() => this.heard.find((notice) => notice.type === type));
  }
}

export async function sha256(text: string): Promise<string> {
  const digest = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(text));
  return Array.from(new Uint8Array(digest), (b) => b.toString(16).padStart(2, '0')).join('');
}

/** A viewer that remembers all it heard. */
export class Viewer {
  readonly heard: WebSocketMessage[] = [];
  closed: { code: number; reason: string } | null = null;
  readonly socket: WebSocket;

  private constructor(socket: WebSocket) {
    this.socket = socket;
    socket.addEventListener('message', ({ data }) => {
      this.heard.push(v.parse(WebSocketMessage, JSON.parse(String(data))));
    });
    socket.addEventListener('close', ({ code, reason }) => {
      this.closed = { code, reason };
    });
    socket.accept();
  }

  static async open(jobId: string, query = '', headers: Record<string, string> = {}) {
    const response = await call(`/api/jobs/${jobId}/ws${query}`, {
      headers: { upgrade: 'websocket', ...headers },
    });
    if (!response.webSocket) throw new Error(`${response.status} ${await response.text()}`);
    return new Viewer(response.webSocket);
  }

  /** One whose socket was opened otherwise. */
  static on(socket: WebSocket): Viewer {
    return new Viewer(socket);
  }

  get events(): JobMessage[] {
    return this.heard.filter((message) => message.type !== 'pong');
  }

  /** The whole jobs among what it heard. */
  get jobs(): ExportJob[] {
    return this.events.flatMap((message) => (message.type === 'progress' ? [] : [message.job]));
  }

  last(type: WebSocketMessage['type']) {
    return until(() => this.heard.findLast((message) => message.type === type));
  }
}

/** Takes the object out of memory, as the platform does whenever it likes. */
export async function evict(jobId: string): Promise<void> {
  try {
    await evictDurableObject(stubOf(jobId));
  } catch (error) {
    // Out of memory already, which is what was asked for.
    if (!/not currently running/.test(String(error))) throw error;
  }
}
