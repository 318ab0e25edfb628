import { CLOSE_CODES, RENDERER_SUBPROTOCOL, problem } from '@export-jobs/protocol';
import type { RendererNotice } from '@export-jobs/protocol';
import * as v from 'valibot';
import { Hint, hintOf } from '../job/job.ts';
import type { Job } from '../job/job.ts';
import type { Answer } from '../lib/types.ts';
import { closeBack, sendQuietly, upgradeHeaders } from './sockets.ts';

// Responsible for the sockets of the renderers of one object. Each remembers whose it is and, because
// attachments outlive the object's sleep, what was reported on it: that costs nothing to keep.

const TAG = 'renderer';
/** An object does not fall asleep for seconds after a report: what it forgets then may be this old, ms. */
const REMEMBER_MS = 250;

const Attachment = v.object({
  role: v.literal(TAG),
  attempt: v.number(),
  epoch: v.number(),
  hint: v.nullable(Hint),
});

/** Whose socket it is. */
export interface Owner {
  readonly attempt: number;
  readonly epoch: number;
}

export class Renderers {
  readonly #ctx: DurableObjectState;
  /** The socket that was used last, so that each report need not look for it. */
  #last: { readonly socket: WebSocket; readonly owner: Owner } | null = null;
  /** What was last remembered of the running job. */
  #remembered: { readonly at: number; readonly stage: string } = { at: 0, stage: '' };
  /** One that has just closed: it may be the only one that remembers, and is no longer open. */
  #leaving: WebSocket | null = null;

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
  }

  /** Accepts the socket of an owner; an older one of the same owner is closed. */
  accept(request: Request, { attempt, epoch }: Owner): Response {
    this.#remembered = { at: 0, stage: '' };
    const owner = { attempt, epoch };
    const older = this.#of(owner);
    const [client, socket] = Object.values(new WebSocketPair());
    if (!client || !socket) throw new Error('no socket');
    this.#ctx.acceptWebSocket(socket, [TAG]);
    socket.serializeAttachment({ role: TAG, ...owner, hint: null });
    if (older) this.drop(older, 1000, 'another socket was opened');
    const headers = upgradeHeaders(request, RENDERER_SUBPROTOCOL);
    return new Response(null, { status: 101, webSocket: client, headers });
  }

  /** Closes a socket. What it remembers is forgotten: it would be old when its end is told. */
  drop(socket: WebSocket, code: number, reason: string): void {
    const owner = this.ownerOf(socket);
    if (owner) socket.serializeAttachment({ role: TAG, ...owner, hint: null });
    closeBack(socket, code, reason);
  }

  /** Whose socket this is; null when it is not a renderer's. */
  ownerOf(socket: WebSocket): Owner | null {
    if (this.#last?.socket === socket) return this.#last.owner;
    const owner = attachmentOf(socket);
    if (owner) this.#last = { socket, owner };
    return owner;
  }

  /** The same of a socket that has closed. */
  left(socket: WebSocket): Owner | null {
    this.#leaving = socket;
    return attachmentOf(socket);
  }

  isConnected(owner: Owner): boolean {
    return this.#of(owner) !== null;
  }

  /** What the owner of a running attempt has reported, as far as its socket remembers. */
  recall(job: Job): Hint | null {
    const owner = ownerOf(job);
    const leaving = this.#leaving && attachmentOf(this.#leaving);
    const open = this.#of(owner);
    if (open) return attachmentOf(open)?.hint ?? null;
    return leaving && isSame(leaving, owner) ? leaving.hint : null;
  }

  /**
   * Has the owner's socket remember what the object may forget. Of reports that come faster than
   * anybody reads them the ones in between may be missing.
   */
  remember(job: Job, isReport = false): void {
    const owner = ownerOf(job);
    const socket = this.#of(owner);
    if (!socket || job.state !== 'running') return;
    const { at, stage } = this.#remembered;
    if (isReport && stage === job.stage && job.updatedAt - at < REMEMBER_MS) return;
    if (isReport) this.#remembered = { at: job.updatedAt, stage: job.stage };
    socket.serializeAttachment({ role: TAG, ...owner, hint: hintOf(job) });
  }

  /** Tells the owner how often to report from now on. */
  pace(job: Job, pace: { lease_ms: number; next_report_ms: number }): void {
    const socket = this.#of(ownerOf(job));
    if (socket) notify(socket, { type: 'pace', ...pace });
  }

  /** Tells every renderer whose attempt is not, or no longer, its own to stop at once. */
  fence(job: Job): void {
    const owner = ownerOf(job);
    for (const socket of this.#ctx.getWebSockets(TAG)) {
      const whose = attachmentOf(socket);
      if (!whose || isSame(whose, owner) || hasConcluded(job, whose)) continue;
      notify(socket, { type: 'stop', code: 'completedAt' in job ? 'job_finished' : 'not_owner' });
      closeBack(socket, CLOSE_CODES.fenced, 'stop');
    }
  }

  #of(owner: Owner | null): WebSocket | null {
    if (owner === null) return null;
    const { socket: last = null, owner: lastOwner = null } = this.#last ?? {};
    if (last && isOpen(last) && isSame(lastOwner, owner)) return last;
    const sockets = this.#ctx.getWebSockets(TAG);
    return sockets.find((socket) => isOpen(socket) && isSame(attachmentOf(socket), owner)) ?? null;
  }
}

/** Answers one call, in the words of the answer to the same POST. */
export function answerOn(socket: WebSocket, seq: number, answer: Answer): void {
  if (!answer.ok) {
    return notify(socket, { type: 'refused', seq, problem: problem(answer.code, answer.extra) });
  }
  sendQuietly(socket, JSON.stringify({ type: 'ack', seq, ...answer.body, success: undefined }));
}

function notify(socket: WebSocket, notice: RendererNotice): void {
  sendQuietly(socket, JSON.stringify(notice));
}

function attachmentOf(socket: WebSocket): v.InferOutput<typeof Attachment> | null {
  const parsed = v.safeParse(Attachment, socket.deserializeAttachment());
  return parsed.success ? parsed.output : null;
}

function ownerOf(job: Job): Owner | null {
  if (job.state !== 'running' || job.owner === null) return null;
  return { attempt: job.attempt, epoch: job.owner.epoch };
}

/** Whether this owner itself has brought its attempt to an end: it needs no telling. */
function hasConcluded(job: Job, owner: Owner): boolean {
  const by = job.state === 'complete' ? job.by : job.closed;
  return isSame(by, owner);
}

function isSame(a: Owner | null, b: Owner | null): boolean {
  return a !== null && b !== null && a.attempt === b.attempt && a.epoch === b.epoch;
}

function isOpen(socket: WebSocket): boolean {
  return socket.readyState === WebSocket.OPEN;
}
