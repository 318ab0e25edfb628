// The stack as a stranger sees it who has read the contract and nothing else: fetch and WebSocket,
// not our own client.
import { openAsBlob } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import {
  CreateReply,
  JobReply,
  UploadedReply,
  UploadReply,
  WebSocketMessage,
  type ExportJob,
  type ExportOptionsInput,
  type JobMessage,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { PATIENCE_MS } from './processes.ts';

/** How often a call is made whose answer the Worker did not give. */
const TRIES = 3;

/**
 * POSTs JSON and expects the given answer. Repeats what never reached the Worker: wrangler's proxy loses its
 * connection to it now and then, and says so with a stack.
 */
export async function post<S extends v.GenericSchema>(
  url: string,
  body: unknown,
  schema: S,
  token?: string,
): Promise<v.InferOutput<S>> {
  const headers = {
    'content-type': 'application/json',
    'idempotency-key': crypto.randomUUID(),
    ...(token !== undefined && { authorization: `Bearer ${token}` }),
  };
  for (let tries = 1; ; tries += 1) {
    const response = await fetch(url, { method: 'POST', headers, body: JSON.stringify(body) });
    if (tries === TRIES || !(await isLost(response.clone()))) return await read(response, schema);
    await response.body?.cancel();
    console.warn(`wrangler's proxy lost a call to ${new URL(url).pathname}: it is made again`);
  }
}

/** Whether a call never reached the Worker, whose own refusals are JSON. */
async function isLost(response: Response): Promise<boolean> {
  return response.status === 500 && (await response.text()).includes('Network connection lost');
}

async function read<S extends v.GenericSchema>(
  response: Response,
  schema: S,
): Promise<v.InferOutput<S>> {
  const text = await response.text();
  if (!response.ok) throw new Error(`${response.url}: ${response.status} ${text}`);
  return v.parse(v.pipe(v.string(), v.parseJson(), schema), text);
}

/** Uploads a file and creates its export. */
export async function exportOf(
  base: string,
  file: string,
  options: ExportOptionsInput = {},
): Promise<ExportJob> {
  const blob = await openAsBlob(file);
  const announced = { filename: path.basename(file), size: blob.size };
  const ticket = await post(`${base}/api/uploads`, announced, UploadReply);
  const put = await fetch(new URL(ticket.url, base), { method: 'PUT', body: blob });
  const { upload_id } = await read(put, UploadedReply);
  const { job } = await post(`${base}/api/jobs`, { input: { upload_id }, options }, CreateReply);
  return job;
}

export async function jobOf(base: string, id: string): Promise<ExportJob> {
  return (await read(await fetch(`${base}/api/jobs/${id}`), JobReply)).job;
}

/** Downloads a finished export. */
export async function download(base: string, job: ExportJob, file: string): Promise<Response> {
  if (job.status !== 'complete') throw new Error(`the job is ${JSON.stringify(job)}`);
  const response = await fetch(new URL(job.output_url, base));
  if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
  await writeFile(file, Buffer.from(await response.arrayBuffer()));
  return response;
}

/** A message, and the job as a viewer sees it after that. */
export type Heard = JobMessage & { job: ExportJob };

/** A viewer that notes everything it hears, until its socket closes. */
export class Viewer {
  readonly heard: Heard[] = [];
  /** How many pings were answered. */
  pongs = 0;
  readonly #socket: WebSocket;
  readonly #waiting = new Set<() => void>();

  constructor(base: string, jobId: string, since?: number) {
    const query = since === undefined ? '' : `?since=${since}`;
    this.#socket = new WebSocket(`${base.replace('http', 'ws')}/api/jobs/${jobId}/ws${query}`);
    this.#socket.addEventListener('message', ({ data }) => {
      const message = v.parse(v.pipe(v.string(), v.parseJson(), WebSocketMessage), data);
      if (message.type === 'pong') this.pongs += 1;
      const job = seenAfter(message, this.heard.at(-1)?.job ?? null);
      if (message.type !== 'pong' && job) this.heard.push({ ...message, job });
      for (const wake of this.#waiting) wake();
    });
    this.#socket.addEventListener('close', () => {
      for (const wake of this.#waiting) wake();
    });
  }

  /** The first message that fits, past or to come. @throws when the socket closes without it. */
  async hears(fits: (message: Heard) => boolean, timeoutMs = PATIENCE_MS): Promise<Heard> {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = this.heard.find(fits);
      if (found) return found;
      const isOver = this.#socket.readyState === WebSocket.CLOSED || Date.now() > deadline;
      if (isOver) throw new Error(`not heard; only ${JSON.stringify(this.heard.slice(-3))}`);
      await new Promise<void>((resolve) => {
        const wake = () => {
          clearTimeout(timer);
          this.#waiting.delete(wake);
          resolve();
        };
        const timer = setTimeout(wake, Math.max(0, deadline - Date.now()));
        this.#waiting.add(wake);
      });
    }
  }

  /** The job once it has ended. */
  async end(timeoutMs = PATIENCE_MS): Promise<ExportJob> {
    return (await this.hears(({ job }) => 'completed_at' in job, timeoutMs)).job;
  }

  send(text: string): void {
    this.#socket.send(text);
  }

  close(): void {
    this.#socket.close();
  }
}

/** The job after a message: a report has only what a report can change. */
function seenAfter(message: WebSocketMessage, last: ExportJob | null): ExportJob | null {
  if (message.type === 'pong') return null;
  if (message.type !== 'progress') return message.job;
  if (last?.status !== 'processing') return null;
  const { type: _type, job_id: _id, message: said = null, ...report } = message;
  return { ...last, ...report, message: said };
}

/** Watches a job to its end through any number of lost connections, as a patient viewer would. */
export async function endOf(base: string, id: string, timeoutMs = PATIENCE_MS): Promise<ExportJob> {
  const deadline = Date.now() + timeoutMs;
  for (;;) {
    const viewer = new Viewer(base, id);
    try {
      return await viewer.end(deadline - Date.now());
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await new Promise((resolve) => setTimeout(resolve, 200));
    } finally {
      viewer.close();
    }
  }
}
