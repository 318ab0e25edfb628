import {
  CLOSE_CODES,
  ClientMessage,
  MAX_VIEWER_FRAME,
  PING,
  PONG,
  VIEWER_SUBPROTOCOL,
} from '@export-jobs/protocol';
import type { JobMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import { withoutLinks } from '../lib/messages.ts';
import { closeBack, parseJson, sendQuietly, upgradeHeaders } from './sockets.ts';

// Responsible for the sockets of one object. Everything lives in the platform's own list of sockets
// and in their attachments, because memory is lost whenever the object hibernates.

/** More sockets than this on one job are refused. */
export const MAX_VIEWERS = 2000;
/** A viewer may send this many messages at once, and then one a second. */
const BURST = 20;

const TAG = 'viewer';

/** What a viewer may see: until when, epoch ms or null for always, and whether also where the file is. */
const Leave = v.object({ until: v.nullable(v.number()), links: v.boolean() });
export type Leave = v.InferOutput<typeof Leave>;

/** `?until=&links=0`, as the Worker writes it. */
export function leaveOf(query: URLSearchParams): Leave {
  const until = query.get('until');
  return { until: until === null ? null : Number(until), links: query.get('links') !== '0' };
}

const Attachment = v.object({
  role: v.literal(TAG),
  ...Leave.entries,
  /** Messages that the viewer may still send, as of `at` (epoch ms). */
  tokens: v.number(),
  at: v.number(),
});
type Attachment = v.InferOutput<typeof Attachment>;

/** What a viewer asked for: to be told the present state, with what it missed since a number. */
export interface Subscription {
  since: number | null;
}

export class Viewers {
  readonly #ctx: DurableObjectState;
  /** Read from the attachments, for there is a report every second. */
  readonly #leaves = new WeakMap<WebSocket, Leave>();

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** How many watch; one that is just leaving does no more. */
  get count(): number {
    const sockets = this.#ctx.getWebSockets(TAG);
    return sockets.filter(({ readyState }) => readyState === WebSocket.OPEN).length;
  }

  get isAnyThere(): boolean {
    return this.#ctx.getWebSockets(TAG).some(({ readyState }) => readyState === WebSocket.OPEN);
  }

  /** Accepts a socket, or returns null when the job has too many. */
  accept(
    request: Request,
    leave: Leave,
    now: number,
  ): { socket: WebSocket; response: Response } | null {
    if (this.count >= MAX_VIEWERS) return null;
    const [client, socket] = Object.values(new WebSocketPair());
    if (!client || !socket) return null;
    this.#ctx.acceptWebSocket(socket, [TAG]);
    write(socket, { role: TAG, ...leave, tokens: BURST, at: now });
    const headers = upgradeHeaders(request, VIEWER_SUBPROTOCOL);
    const response = new Response(null, { status: 101, webSocket: client, headers });
    return { socket, response };
  }

  /** Sends to everyone; a socket that is already dead is left to its close event. */
  broadcast(messages: readonly JobMessage[]): void {
    const sockets = this.#ctx.getWebSockets(TAG);
    if (sockets.length === 0) return;
    const now = Date.now();
    for (const message of messages) {
      const text = JSON.stringify(message);
      for (const socket of sockets) this.#tell(socket, now, message, text);
    }
  }

  send(socket: WebSocket, messages: readonly JobMessage[]): void {
    const now = Date.now();
    for (const message of messages) this.#tell(socket, now, message, JSON.stringify(message));
  }

  /** Nobody is told more than the token allows; a timer for that would cost, so it is seen to here. */
  #tell(socket: WebSocket, now: number, message: JobMessage, text: string): void {
    const leave = this.#leaveOf(socket);
    if (!leave) return closeBack(socket, CLOSE_CODES.stale, 'dial again');
    if (leave.until !== null && leave.until <= now) {
      return closeBack(socket, CLOSE_CODES.expired, 'the token has expired');
    }
    sendQuietly(socket, leave.links ? text : JSON.stringify(withoutLinks(message)));
  }

  /** Null of a socket whose attachment nobody can read any more, for an older version wrote it. */
  #leaveOf(socket: WebSocket): Leave | null {
    const known = this.#leaves.get(socket);
    if (known) return known;
    const leave = read(socket);
    if (leave) this.#leaves.set(socket, leave);
    return leave;
  }

  /**
   * Judges one incoming message: answers a ping, closes a socket that floods or shouts, ignores
   * what it does not know (a newer client may say more), and returns a subscription.
   */
  hear(socket: WebSocket, message: string | ArrayBuffer, now: number): Subscription | null {
    const size = typeof message === 'string' ? message.length : message.byteLength;
    if (size > MAX_VIEWER_FRAME) {
      socket.close(CLOSE_CODES.oversize, 'message too large');
      return null;
    }
    if (!this.#spend(socket, now) || typeof message !== 'string') return null;
    const parsed = v.safeParse(ClientMessage, parseJson(message));
    if (!parsed.success) return null;
    if (parsed.output.type === 'ping') {
      sendQuietly(socket, PONG);
      return null;
    }
    return { since: parsed.output.since ?? null };
  }

  #spend(socket: WebSocket, now: number): boolean {
    const attachment = read(socket);
    if (!attachment) {
      socket.close(CLOSE_CODES.stale, 'dial again');
      return false;
    }
    const { tokens: left, at } = attachment;
    const tokens = Math.min(BURST, left + (now - at) / 1000) - 1;
    if (tokens < 0) {
      socket.close(CLOSE_CODES.flood, 'too many messages');
      return false;
    }
    write(socket, { ...attachment, tokens, at: now });
    return true;
  }
}

function read(socket: WebSocket): Attachment | null {
  const parsed = v.safeParse(Attachment, socket.deserializeAttachment());
  return parsed.success ? parsed.output : null;
}

function write(socket: WebSocket, attachment: Attachment): void {
  socket.serializeAttachment(attachment);
}
