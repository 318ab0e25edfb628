import {
  MAX_VIEWER_FRAME,
  CLOSE_CODES,
  PING,
  PONG,
  VIEWER_SUBPROTOCOL,
} from '@export-jobs/protocol';
import type { FeedMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import { closeBack, sendQuietly, upgradeHeaders } from './sockets.ts';

// Responsible for the sockets of one feed. What each wants is in its attachment, which outlives a sleep.

/** More sockets than this on one feed are refused. */
export const MAX_FEED_VIEWERS = 2000;

const Attachment = v.object({
  tenant: v.string(),
  tag: v.nullable(v.string()),
  /** Until when it may see, epoch ms; null for always. */
  until: v.optional(v.nullable(v.number()), null),
});

/** Whose feed it is, and of which jobs; a null tag fits any. */
export type Wish = v.InferOutput<typeof Attachment>;

export class FeedViewers {
  readonly #ctx: DurableObjectState;

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** Whose feed this is; null while nobody watches. */
  get tenant(): string | null {
    const [first] = this.#current(Date.now());
    return first?.[1].tenant ?? null;
  }

  /** Accepts a socket, or returns null when there are too many. */
  accept(request: Request, wish: Wish): { socket: WebSocket; response: Response } | null {
    if (this.#open.length >= MAX_FEED_VIEWERS) return null;
    const [client, socket] = Object.values(new WebSocketPair());
    if (!client || !socket) return null;
    this.#ctx.acceptWebSocket(socket);
    socket.serializeAttachment(wish);
    const headers = upgradeHeaders(request, VIEWER_SUBPROTOCOL);
    return { socket, response: new Response(null, { status: 101, webSocket: client, headers }) };
  }

  /** Tells everyone who wants to know of a job with these tags; everyone, where they are not known (null). */
  tell(message: FeedMessage, tags: readonly string[] | null): void {
    const text = JSON.stringify(message);
    const now = Date.now();
    for (const [socket, wish] of this.#current(now)) {
      if (tags === null || isWanted(wish, tags)) sendQuietly(socket, text);
    }
  }

  /** Those who may still see; the others are let go, though no news may be for them. */
  #current(now: number): [WebSocket, Wish][] {
    return this.#open.flatMap((socket): [WebSocket, Wish][] => {
      const wish = wishOf(socket);
      if (wish && (wish.until ?? Infinity) > now) return [[socket, wish]];
      if (wish) closeBack(socket, CLOSE_CODES.expired, 'the token has expired');
      else closeBack(socket, CLOSE_CODES.stale, 'dial again');
      return [];
    });
  }

  /** Tells one of them. */
  say(socket: WebSocket, messages: readonly FeedMessage[]): void {
    for (const message of messages) sendQuietly(socket, JSON.stringify(message));
  }

  /** Viewers have nothing to say but pings, of which the platform answers the usual bytes by itself. */
  hear(socket: WebSocket, message: string | ArrayBuffer): void {
    const size = typeof message === 'string' ? message.length : message.byteLength;
    if (size > MAX_VIEWER_FRAME) socket.close(CLOSE_CODES.oversize, 'message too large');
    else socket.close(CLOSE_CODES.flood, 'nothing but pings is expected');
  }

  get #open(): WebSocket[] {
    const sockets = this.#ctx.getWebSockets();
    return sockets.filter(({ readyState }) => readyState === WebSocket.OPEN);
  }
}

/** Whether a job with these tags is among those that are watched. */
export function isWanted({ tag }: Pick<Wish, 'tag'>, tags: readonly string[]): boolean {
  return tag === null || tags.includes(tag);
}

function wishOf(socket: WebSocket): Wish | null {
  const parsed = v.safeParse(Attachment, socket.deserializeAttachment());
  return parsed.success ? parsed.output : null;
}
