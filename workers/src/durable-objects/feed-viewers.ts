import {
  MAX_VIEWER_FRAME,
  CLOSE_CODES,
  PING,
  PONG,
  VIEWER_SUBPROTOCOL,
} from '@export-jobs/protocol';
import type { FeedMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import { FeedQueue, framesOf } from './feed-news.ts';
import type { News } from './feed-news.ts';
import { closeBack, sendQuietly, upgradeHeaders } from './sockets.ts';

// Responsible for the sockets of one feed. What each wants is in its attachment, which outlives a sleep.

/** One object of a feed takes no more sockets than this: all that it is told may be for each of them. */
export const MAX_FEED_VIEWERS = 1000;
/** After news, what comes within so many ms is told together. */
const TOGETHER_MS = 20;
/** So many frames a ms are sent at most; what comes meanwhile waits, of reports the newest. Measured by `bench/feed`. */
const FRAMES_PER_MS = 5;

const Attachment = v.object({
  tenant: v.string(),
  /** Which object of the feed this is. */
  shard: v.optional(v.number(), 0),
  tag: v.nullable(v.string()),
  /** Whether it takes several messages in one frame. */
  batch: v.optional(v.boolean(), false),
  /** Until when it may see, epoch ms; null for always. */
  until: v.optional(v.nullable(v.number()), null),
});

/** Whose feed it is, and of which jobs; a null tag fits any. */
export type Wish = v.InferOutput<typeof Attachment>;

export class FeedViewers {
  readonly #ctx: DurableObjectState;
  /** What each socket's attachment says, which never changes. */
  readonly #wishes = new WeakMap<WebSocket, Wish | null>();
  readonly #queue = new FeedQueue();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** When it is next to be told anything, epoch ms. */
  #nextAt = 0;

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** Whose feed this is, and which of its objects; null while nobody watches here. */
  get owner(): Pick<Wish, 'tenant' | 'shard'> | null {
    const [first] = this.#current(Date.now());
    return first?.[1] ?? null;
  }

  /** Accepts a socket, or returns null when there are too many. */
  accept(request: Request, wish: Wish): { socket: WebSocket; response: Response } | null {
    if (this.#all.length >= MAX_FEED_VIEWERS) return null;
    const [client, socket] = Object.values(new WebSocketPair());
    if (!client || !socket) return null;
    this.#ctx.acceptWebSocket(socket);
    socket.serializeAttachment(wish);
    const headers = upgradeHeaders(request, VIEWER_SUBPROTOCOL);
    return { socket, response: new Response(null, { status: 101, webSocket: client, headers }) };
  }

  /** Tells everyone who wants to know, soon. */
  tell(news: News): void {
    this.#queue.add(news);
    const wait = this.#nextAt - Date.now();
    if (wait <= 0) this.#flush();
    else this.#timer ??= setTimeout(() => this.#flush(), wait);
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const news = this.#queue
      .take()
      .map(({ message, tags }) => ({ text: JSON.stringify(message), tags }));
    const made = new Map<string, readonly string[]>();
    const framesFor = ({ tag, batch }: Wish): readonly string[] => {
      const isWanted = (tags: News['tags']) => tag === null || tags === null || tags.includes(tag);
      const key = `${batch} ${tag ?? ''}`;
      const texts = () => news.filter(({ tags }) => isWanted(tags)).map(({ text }) => text);
      const frames = made.get(key) ?? framesOf(texts(), batch);
      made.set(key, frames);
      return frames;
    };
    const now = Date.now();
    let sent = 0;
    for (const [socket, wish] of this.#current(now)) {
      const frames = framesFor(wish);
      for (const frame of frames) sendQuietly(socket, frame);
      sent += frames.length;
    }
    this.#nextAt = now + Math.max(TOGETHER_MS, sent / FRAMES_PER_MS);
  }

  /** Tells those of them how far they are, after all that there was to tell before. */
  moveOn(cursor: number, isMeant: (socket: WebSocket) => boolean): void {
    this.#flush();
    const text = JSON.stringify({ type: 'ready', cursor } satisfies FeedMessage);
    for (const socket of this.#all.filter(isMeant)) sendQuietly(socket, text);
  }

  /** Those who may still see; the others are let go, though no news may be for them. */
  #current(now: number): [WebSocket, Wish][] {
    return this.#all.flatMap((socket): [WebSocket, Wish][] => {
      const wish = this.#wishOf(socket);
      if (wish && (wish.until ?? Infinity) > now) return [[socket, wish]];
      if (wish) closeBack(socket, CLOSE_CODES.expired, 'the token has expired');
      else closeBack(socket, CLOSE_CODES.stale, 'dial again');
      return [];
    });
  }

  /** Viewers have nothing to say but pings, of which the platform answers the usual bytes by itself. */
  hear(socket: WebSocket, message: string | ArrayBuffer): void {
    const size = typeof message === 'string' ? message.length : message.byteLength;
    if (size > MAX_VIEWER_FRAME) socket.close(CLOSE_CODES.oversize, 'message too large');
    else socket.close(CLOSE_CODES.flood, 'nothing but pings is expected');
  }

  get #all(): WebSocket[] {
    const sockets = this.#ctx.getWebSockets();
    return sockets.filter(({ readyState }) => readyState === WebSocket.OPEN);
  }

  /** Read once for each socket and life of the object, for it is asked for with every message. */
  #wishOf(socket: WebSocket): Wish | null {
    const known = this.#wishes.get(socket);
    if (known !== undefined) return known;
    const parsed = v.safeParse(Attachment, socket.deserializeAttachment());
    const wish = parsed.success ? parsed.output : null;
    this.#wishes.set(socket, wish);
    return wish;
  }
}
