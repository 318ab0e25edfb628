// Responsible for one viewer on a bad network: it leaves, comes back where it was, and notes every
// message. Judges nothing: that is check.ts.
import { setTimeout as sleep } from 'node:timers/promises';
import type { ViewerPlan } from './plan.ts';
import { isEnd, Message, parsed } from './view.ts';

/** A connection that says nothing for this long is given up, ms. */
const SILENCE_MS = 7000;
const PING_MS = 2500;
/** How long it still listens after the end, so that what must not come can come, ms. */
const AFTER_END_MS = 400;

export interface Heard {
  /** Which connection brought it, from 0. */
  readonly connection: number;
  readonly message: Message;
}

/** Everything that one viewer of one job heard. */
export interface Watched {
  readonly jobId: string;
  readonly plan: ViewerPlan;
  readonly heard: Heard[];
}

/** Whether a message is the end of a job, as the contract announces it. */
export function announcesEnd({ type, status }: Message): boolean {
  return type === 'complete' || type === 'error' || (type === 'status' && status === 'cancelled');
}

/** Watches a job until its end was heard, or the signal aborts. */
export async function watch(base: string, watched: Watched, until: AbortSignal): Promise<void> {
  const { plan } = watched;
  const stays = plan.stays.values();
  let connection = 0;
  const visit = async () => await connect(base, watched, connection++, stays.next().value, until);
  while (!until.aborted && !(await visit())) await pause(plan.awayMs, until);
  while (!until.aborted && plan.returns) {
    await pause(plan.awayMs, until);
    if (await visit()) return;
  }
}

/** One connection. @returns whether it brought the end. */
async function connect(
  base: string,
  { jobId, plan, heard }: Watched,
  connection: number,
  stayMs: number | undefined,
  until: AbortSignal,
): Promise<boolean> {
  const last = heard.findLast(({ message }) => message.seq !== undefined)?.message.seq;
  const since = plan.resumes && last !== undefined ? `?since=${last}` : '';
  const socket = new WebSocket(`${base.replace('http', 'ws')}/api/jobs/${jobId}/ws${since}`);
  const over = new AbortController();
  const leave = () => over.abort();
  let ended = false;
  let silence = setTimeout(leave, SILENCE_MS);
  const stay = stayMs === undefined ? undefined : setTimeout(leave, stayMs);
  const ping = setInterval(
    () => socket.readyState === 1 && socket.send('{"type":"ping"}'),
    PING_MS,
  );
  socket.addEventListener('message', ({ data }) => {
    if (over.signal.aborted) return;
    clearTimeout(silence);
    silence = setTimeout(leave, SILENCE_MS);
    const message = parsed(Message, String(data));
    if (!message || message.type === 'pong') return;
    heard.push({ connection, message });
    if (announcesEnd(message) && !ended) {
      ended = true;
      clearTimeout(stay);
      setTimeout(leave, AFTER_END_MS);
    }
  });
  for (const event of ['close', 'error']) socket.addEventListener(event, leave);
  until.addEventListener('abort', leave);
  await pause(2 ** 30, over.signal);
  until.removeEventListener('abort', leave);
  clearTimeout(silence);
  clearTimeout(stay);
  clearInterval(ping);
  socket.close();
  return ended;
}

async function pause(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal }).catch(() => undefined);
}

/** The status that a message speaks of, as far as it says one. */
export function statusIn({ type, status, job }: Message): string | undefined {
  return job?.status ?? status ?? (isEnd(type) ? type : undefined);
}
