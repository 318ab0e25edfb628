import { PollQuery, WebSocketMessage, isTerminal } from '@export-jobs/protocol';
import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Viewer } from '../access/callers.ts';
import { parseOr } from '../lib/body.ts';
import { settingsOf } from '../lib/env.ts';
import { isByHand } from '../lib/ids.ts';
import { shownTo } from '../lib/links.ts';
import { objectOf } from '../lib/object.ts';
import { Refusal, json } from '../lib/respond.ts';
import { jobAfter } from '../lib/messages.ts';
import { cursorOf, forwardToObject, lastSight, queryOf } from '../lib/sight.ts';
import type { LastSight } from '../lib/sight.ts';
import type { Ctx } from './context.ts';

// For viewers without a WebSocket. The Worker holds the connection, and a socket to the object on their
// behalf: an open answer of the object itself would keep it awake, and billed.

/** How often a silent stream shows that it lives, ms: proxies close what is silent for a minute. */
const BEAT_MS = 20_000;
/** A reader that is so many messages behind is let go; it comes back with its cursor. */
const MAX_BEHIND = 200;
/** How long a poll waits for what comes together with the first news, ms. */
const GATHER_MS = 20;
/** An object that has something to say at once says it within this time, ms. */
const GREETING_MS = 5000;
const Heard = v.pipe(v.string(), v.parseJson(), WebSocketMessage);

/**
 * `GET /api/jobs/:id/stream`: server-sent events, the messages of the socket as `data`, their `seq` as
 * `id`. Who comes back by `Last-Event-ID`, or `?since=`, and has seen the end gets 204, which a browser's
 * EventSource takes for the end.
 */
export async function streamJob(c: Ctx, viewer: Viewer): Promise<Response> {
  const since = c.req.header('last-event-id') ?? c.req.query('since');
  const sight = await lookAt(c, viewer, since);
  const hasSeen = (job: ExportJob) => isTerminal(job.status) && (cursorOf(since) ?? -1) >= job.seq;
  if (sight.job && hasSeen(sight.job)) return new Response(null, { status: 204 });
  if (sight.kind === 'over') return eventStream(sight.messages.map(eventOf).join(''));
  if (c.req.method === 'HEAD') return eventStream('');
  return streamFrom(await sight.dial());
}

/**
 * `GET /api/jobs/:id?since=&wait=`: the job, and what happened after `since`, as soon as anything has, or
 * when so many seconds are over. Null when the query asks for no such thing.
 */
export async function pollJob(c: Ctx, viewer: Viewer): Promise<Response | null> {
  const { since, wait } = c.req.query();
  if (since === undefined && wait === undefined) return null;
  const asked = parseOr('invalid_query', PollQuery, c.req.query());
  const sight = await lookAt(c, viewer, `${asked.since}`);
  if (sight.kind === 'over') return polled(sight.job, sight.messages.filter(isAfter(asked.since)));
  const waitMs = waitFor(sight.job, asked);
  if (sight.job && waitMs === 0) return polled(sight.job, []);
  const heard = await hearFrom(await sight.dial(), asked.since, waitMs);
  const job = heard.reduce(jobAfter, sight.job);
  if (!job) throw new Refusal('job_not_found');
  return polled(job, heard.filter(isAfter(asked.since)));
}

/** How long to listen, ms. What was missed is said at once, so waiting for that is no waiting. */
function waitFor(job: ExportJob | null, { since, wait }: PollQuery): number {
  if (job && job.seq > since) return GREETING_MS;
  return job && isTerminal(job.status) ? 0 : wait * 1000;
}

type Sight =
  | { kind: 'live'; job: ExportJob | null; dial(): Promise<WebSocket> }
  | Extract<LastSight, { kind: 'over' }>;

/** What there is to see, and a socket to see more. @throws Refusal when there is no such job. */
async function lookAt(c: Ctx, viewer: Viewer, since: string | undefined): Promise<Sight> {
  const settings = settingsOf(c.env);
  const { id, tenant } = viewer;
  const query = queryOf(viewer, since);
  const dial = () => dialObject(c, id, query);
  const job = await objectOf(c.env, id).view(tenant);
  if (job) return { kind: 'live', job: shownTo(viewer, job, settings), dial };
  const last = await lastSight(c.env, settings, viewer, since);
  if (last.kind === 'over') return last;
  // As by socket: one that is intended will be made, and in development a viewer may come first.
  if (last.kind === 'unknown' && !isByHand(settings, id)) throw new Refusal('job_not_found');
  query.set('early', '1');
  return { kind: 'live', job: last.kind === 'intended' ? last.job : null, dial };
}

/** A socket of the Worker's own; who may see was asked before. */
async function dialObject(c: Ctx, id: string, query: URLSearchParams): Promise<WebSocket> {
  const upgrade = new Request(c.req.url, { headers: { upgrade: 'websocket' } });
  const { webSocket, status } = await forwardToObject(c.env, id, 'ws', query, upgrade);
  if (webSocket) return webSocket;
  throw new Refusal(status === 404 ? 'job_not_found' : 'too_many_viewers');
}

/** What is said at once, if any of it is news; else the first news, or what was said when time is up. */
function hearFrom(socket: WebSocket, since: number, waitMs: number): Promise<JobMessage[]> {
  const heard: JobMessage[] = [];
  return new Promise((resolve) => {
    const end = () => {
      clearTimeout(timer);
      clearTimeout(greeted);
      socket.close(1000, 'heard');
      resolve(heard);
    };
    const timer = setTimeout(end, waitMs);
    let greeted: ReturnType<typeof setTimeout> | undefined;
    socket.addEventListener('message', ({ data }) => {
      const message = v.safeParse(Heard, data);
      if (!message.success || message.output.type === 'pong') return;
      heard.push(message.output);
      // What belongs together comes together: a short while tells whether there is more of it.
      if (isAfter(since)(message.output)) greeted ??= setTimeout(end, GATHER_MS);
    });
    socket.addEventListener('close', end);
    socket.addEventListener('error', end);
    socket.accept();
  });
}

/** The socket's messages as a stream, until either side leaves or the job has ended. */
function streamFrom(socket: WebSocket): Response {
  const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>();
  const writer = writable.getWriter();
  const encoder = new TextEncoder();
  let behind = 0;
  let isOver = false;
  const leave = () => {
    if (isOver) return;
    isOver = true;
    clearInterval(beat);
    socket.close(1000, 'the stream is over');
    writer.close().catch(() => undefined);
  };
  const write = (text: string) => {
    if (isOver) return;
    behind += 1;
    if (behind > MAX_BEHIND) {
      writer.abort('too slow').catch(() => undefined);
      return leave();
    }
    writer.write(encoder.encode(text)).then(() => (behind -= 1), leave);
  };
  const beat = setInterval(() => write(': \n\n'), BEAT_MS);
  socket.addEventListener('message', ({ data }) => {
    const heard = v.safeParse(Heard, data);
    if (!heard.success || heard.output.type === 'pong') return;
    write(eventOf(heard.output));
    if (isEnd(heard.output)) leave();
  });
  socket.addEventListener('close', leave);
  socket.addEventListener('error', leave);
  socket.accept();
  write('retry: 1000\n\n');
  return eventStream(readable);
}

function eventStream(body: ReadableStream | string): Response {
  const headers = {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store, no-transform',
    'x-content-type-options': 'nosniff',
    'x-accel-buffering': 'no',
  };
  return new Response(body, { headers });
}

/** Without an event name: one that is called `error` would look like a broken connection to a browser. */
function eventOf(message: JobMessage): string {
  return `id: ${message.seq}\ndata: ${JSON.stringify(message)}\n\n`;
}

/** Whether nothing more will be said. */
function isEnd(message: JobMessage): boolean {
  if (message.type === 'complete' || message.type === 'error') return true;
  return message.type === 'status' && message.status === 'cancelled';
}

function isAfter(since: number): (message: JobMessage) => boolean {
  return (message) => message.seq > since;
}

function polled(job: ExportJob, events: JobMessage[]): Response {
  return json({ job, events }, 200, { etag: `"${job.seq}"` });
}
