// Responsible for this project's Worker as a contestant: configured as in production, with real jobs that a
// renderer has claimed.
import * as v from 'valibot';
import { call } from '../client/call.ts';
import type { Door } from '../client/socket.ts';
import { closing } from './contract.ts';
import { byPost, bySocket, progressOf, Reports } from './reports.ts';
import type { Provider } from './runpod.ts';
import { serverOf } from './on-workerd.ts';
import { Absent, type Job, type Server } from './server.ts';
import type { Source } from './source.ts';
import { migrationsOf } from './migrations.ts';
import type { Script } from './bundle.ts';
import { freePort } from '../../../scripts/lib/port.ts';
import { Workerd } from './workerd.ts';

export interface OursOptions {
  readonly script: Script;
  readonly source: Source;
  readonly provider: Provider;
  /** How its renderers report. */
  readonly way: 'post' | 'socket';
}

const API_KEY = 'k'.repeat(32);
const FILM = 'not a film, but nobody renders it';

const Upload = v.object({ upload_id: v.string(), url: v.string() });
const Created = v.object({ job: v.object({ id: v.string() }), viewer_token: v.string() });
const Ticket = v.object({ callback_url: v.string(), token: v.string() });
const Claimed = v.object({
  epoch: v.number(),
  channel: v.optional(v.object({ url: v.string() })),
});

/** Starts it with the migrations and all of D1 and R2. */
export async function startOurs(
  { script, source, provider, way }: OursOptions,
  folder: string,
): Promise<Server> {
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const workerd = new Workerd({
    script,
    port,
    folder,
    className: 'ExportJobState',
    migrations: await migrationsOf(source, 'workers'),
    variables: {
      ...provider.variables,
      API_KEY,
      SIGNING_KEYS: `k1:${'0123456789abcdef'.repeat(4)}`,
      ID_KEY: 'fedcba9876543210'.repeat(4),
      PUBLIC_URL: url,
    },
  });
  await workerd.start();
  const ours = new Ours(url, provider, way);
  try {
    await workerd.migrate();
    await ours.upload();
    // The first one also shows whether it can take part.
    await ours.openJob();
  } catch (error) {
    await workerd.close();
    throw error;
  }
  const callNew = async () => void (await ours.create());
  return serverOf(workerd, callNew, () => ours.openJob());
}

class Ours {
  readonly #url: string;
  readonly #provider: Provider;
  readonly #way: OursOptions['way'];
  #uploadId = '';

  constructor(url: string, provider: Provider, way: OursOptions['way']) {
    this.#url = url;
    this.#provider = provider;
    this.#way = way;
  }

  /** One film for all jobs. */
  async upload(): Promise<void> {
    const body = { filename: 'film.mp4', size: FILM.length };
    const made = await call(`${this.#url}/api/uploads`, Upload, { token: API_KEY, body });
    await call(`${this.#url}${made.url}`, v.unknown(), { method: 'PUT', body: FILM });
    this.#uploadId = made.upload_id;
  }

  create(): Promise<v.InferOutput<typeof Created>> {
    const body = { input: { upload_id: this.#uploadId } };
    return call(`${this.#url}/api/jobs`, Created, { token: API_KEY, body });
  }

  async openJob(): Promise<Job> {
    const { job, viewer_token } = await this.create();
    const ticket = v.parse(Ticket, await this.#provider.ticketOf(job.id));
    const { epoch, channel } = await claim(ticket);
    const { port, pathname } = new URL(ticket.callback_url);
    const at = { port: Number(port), headers: [`Authorization: Bearer ${ticket.token}`] };
    const reports = new Reports((seq, message) =>
      JSON.stringify({
        ...(this.#way === 'socket' && { type: 'progress' }),
        epoch,
        seq,
        progress: progressOf(seq),
        message,
      }),
    );
    const socket = this.#way === 'socket' ? doorOf(channel, ticket) : null;
    return {
      id: job.id,
      door: {
        port: at.port,
        path: `/api/jobs/${job.id}/ws`,
        protocols: ['export.v1', `bearer.${viewer_token}`],
      },
      async reporter(window) {
        if (socket) return await bySocket(reports, socket);
        return byPost(reports, window, { ...at, path: `${pathname}/progress` });
      },
      end: () => closing({ ...at, path: `${pathname}/error` }, { epoch }),
    };
  }
}

function claim({ callback_url, token }: v.InferOutput<typeof Ticket>) {
  const body = { nonce: crypto.randomUUID(), provider_job_id: null, worker_id: null };
  return call(`${callback_url}/claim`, Claimed, { token, body });
}

function doorOf(
  channel: { url: string } | undefined,
  { callback_url, token }: v.InferOutput<typeof Ticket>,
): Door {
  if (!channel) throw new Absent('the answer to a claim offers no channel');
  const { port, pathname, search } = new URL(channel.url, callback_url);
  return {
    port: Number(port),
    path: `${pathname}${search}`,
    protocols: ['render.v1', `bearer.${token}`],
  };
}
