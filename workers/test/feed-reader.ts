import { runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { FeedMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import { feedObjectOf } from '../src/lib/object.ts';
import { call, until } from './harness.ts';

const TENANT = 'default';
const opened: WebSocket[] = [];

/** An object of the feed of those who are asked for no credentials. */
export function feedStub(shard = 0) {
  const feed = feedObjectOf(env, TENANT, shard);
  if (!feed) throw new Error('there is no feed');
  return feed;
}

/** How many watch at one object. */
export async function viewersAt(shard: number): Promise<number> {
  return await runInDurableObject(
    feedStub(shard),
    (_, state) =>
      state.getWebSockets().filter(({ readyState }) => readyState === WebSocket.OPEN).length,
  );
}

/** Ends all that was opened here. */
export async function hangUp(): Promise<void> {
  for (const socket of opened.splice(0)) socket.close(1000);
  for (const shard of [0, 1]) await until(async () => (await viewersAt(shard)) === 0);
}

/** Somebody who watches. */
export class FeedReader {
  readonly heard: FeedMessage[] = [];
  readonly socket: WebSocket;
  closed: number | null = null;

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.addEventListener('message', ({ data }) => {
      const message = v.parse(FeedMessage, JSON.parse(String(data)));
      this.heard.push(...(message.type === 'batch' ? message.messages : [message]));
    });
    socket.addEventListener('close', ({ code }) => {
      this.closed = code;
    });
    socket.accept();
    opened.push(socket);
  }

  /** As a viewer does; resolves once it was told what there is. */
  static async open(query = '', headers: Record<string, string> = {}): Promise<FeedReader> {
    const reader = readerOf(
      await call(`/api/feed${query}`, { headers: { upgrade: 'websocket', ...headers } }),
    );
    await reader.ready();
    return reader;
  }

  /** At the first object, past the Worker and its limits. */
  static async openThere(query = ''): Promise<FeedReader> {
    const url = `http://feed/?tenant=${TENANT}&shard=0${query}`;
    return readerOf(await feedStub().fetch(url, { headers: { upgrade: 'websocket' } }));
  }

  ready(): Promise<number> {
    return until(() => this.heard.flatMap((m) => (m.type === 'ready' ? [m.cursor] : []))[0]);
  }

  /** What was told of one job: its states, and the percent of its reports. */
  of(id: string): (string | number)[] {
    return this.heard.flatMap((m): (string | number)[] => {
      if (!('job_id' in m) || m.job_id !== id) return [];
      if (m.type === 'progress') return [m.progress];
      return [m.type === 'deleted' ? m.type : m.job.status];
    });
  }
}

function readerOf(response: Response): FeedReader {
  if (!response.webSocket) throw new Error(`no socket, but ${response.status}`);
  return new FeedReader(response.webSocket);
}
