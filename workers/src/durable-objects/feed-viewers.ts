import {
  MAX_VIEWER_FRAME,
  CLOSE_CODES,
  PING,
  PONG,
  VIEWER_SUBPROTOCOL,
} from '@export-jobs/protocol';
import type { FeedMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import { FeedQueue, framesOf, isFor } from './feed-news.ts';
import type { News } from './feed-news.ts';
import { closeBack, sendQuietly, upgradeHeaders } from './sockets.ts';

// Responsible for the sockets of one feed. What each wants is in its attachment, which outlives a sleep.

/** One object of a feed takes no more sockets than this: all that it is told may be for each of them. */
export const MAX_FEED_VIEWERS = 1000;
/** Of them so many whose tokens are bound to the same tag: one user of an app must not take the places of the others. */
export const MAX_BOUND_VIEWERS = 20;
/** After news, what comes within so many ms is told together. */
const TOGETHER_MS = 20;
/** So many frames a ms are sent at most, as `bench/feed` measures it; what comes meanwhile waits. */
const FRAMES_PER_MS = 5;
/** A change of state waits no longer than this for that, ms. */
const MAX_WAIT_MS = 200;

const Attachment = v.object({
  tenant: v.string(),
  /** Which object of the feed this is. */
  shard: v.optional(v.number(), 0),
  tag: v.nullable(v.string()),
  /** Whether its token is of that tag alone. */
  bound: v.optional(v.boolean(), false),
  /** Whether it takes several messages in one frame. */
  batch: v.optional(v.boolean(), false),
  /** Until when it may see, epoch ms; null for always. */
  until: v.optional(v.nullable(v.number()), null),
});

/** Whose feed it is, and of which jobs; a null tag fits any. */
export type Wish = v.InferOutput<typeof Attachment>;

/** News for those who listen in one way, and when they are next to be told, epoch ms. */
class Channel {
  readonly queue = new FeedQueue();
  timer: ReturnType<typeof setTimeout> | undefined;
  nextAt = 0;
}

export class FeedViewers {
  readonly #ctx: DurableObjectState;
  /** What each socket's attachment says, which never changes. */
  readonly #wishes = new WeakMap<WebSocket, Wish | null>();
  /** All news, for those who take it together; and reports, for those who take each by itself. */
  readonly #together = new Channel();
  readonly #singly = new Channel();

  constructor(ctx: DurableObjectState) {
    this.#ctx = ctx;
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair(PING, PONG));
  }

  /** Whose feed this is, and which of its objects; null while nobody watches here. */
  get owner(): Pick<Wish, 'tenant' | 'shard'> | null {
    const now = Date.now();
    for (const socket of this.#open) {
      const wish = this.#wishOf(socket);
      if (wish && !isOver(wish, now)) return wish;
    }
    return null;
  }

  /** Accepts a socket, or returns null when there are too many. */
  accept(request: Request, wish: Wish): { socket: WebSocket; response: Response } | null {
    const there = this.#open;
    if (there.length >= MAX_FEED_VIEWERS) return null;
    const isAlike = (one: Wish | null) => one?.bound === true && one.tag === wish.tag;
    const alike = wish.bound ? there.filter((socket) => isAlike(this.#wishOf(socket))) : [];
    if (alike.length >= MAX_BOUND_VIEWERS) return null;
    const [client, socket] = Object.values(new WebSocketPair());
    if (!client || !socket) return null;
    this.#ctx.acceptWebSocket(socket);
    socket.serializeAttachment(wish);
    const headers = upgradeHeaders(request, VIEWER_SUBPROTOCOL);
    return { socket, response: new Response(null, { status: 101, webSocket: client, headers }) };
  }

  /** Lets those go whose time is over, though there is no news. */
  dismiss(): void {
    this.#current(Date.now());
  }

  /** Tells everyone who wants to know: of changes soon, of reports as often as there is time for. */
  tell(news: News): void {
    if (this.#open.length === 0) return;
    const isReport = news.message.type === 'progress';
    this.#add(this.#together, news, isReport);
    if (isReport) this.#add(this.#singly, news, isReport);
    else this.#send([news], false);
  }

  /** Tells those of them how far they are, after all that there was to tell before. */
  moveOn(cursor: number, isMeant: (socket: WebSocket) => boolean): void {
    this.#flush(this.#together);
    const text = JSON.stringify({ type: 'ready', cursor } satisfies FeedMessage);
    for (const socket of this.#open.filter(isMeant)) sendQuietly(socket, text);
  }

  /** Viewers have nothing to say but pings, of which the platform answers the usual bytes by itself. */
  hear(socket: WebSocket, message: string | ArrayBuffer): void {
    const size = typeof message === 'string' ? message.length : message.byteLength;
    if (size > MAX_VIEWER_FRAME) socket.close(CLOSE_CODES.oversize, 'message too large');
    else socket.close(CLOSE_CODES.flood, 'nothing but pings is expected');
  }

  #add(channel: Channel, news: News, mayWait: boolean): void {
    channel.queue.add(news);
    const now = Date.now();
    if (!mayWait) channel.nextAt = Math.min(channel.nextAt, now + MAX_WAIT_MS);
    if (channel.nextAt <= now) return this.#flush(channel);
    clearTimeout(channel.timer);
    channel.timer = setTimeout(() => this.#flush(channel), channel.nextAt - now);
  }

  #flush(channel: Channel): void {
    clearTimeout(channel.timer);
    channel.timer = undefined;
    const sent = this.#send(channel.queue.take(), channel === this.#together);
    channel.nextAt = Date.now() + Math.max(TOGETHER_MS, sent / FRAMES_PER_MS);
  }

  /** Tells those who listen so. Returns how many frames that took. */
  #send(news: readonly News[], batch: boolean): number {
    const told = news.map(({ message, tags }) => ({ text: JSON.stringify(message), tags }));
    const made = new Map<string, readonly string[]>();
    let sent = 0;
    for (const [socket, wish] of this.#current(Date.now())) {
      if (wish.batch !== batch) continue;
      const key = `${wish.bound} ${wish.tag ?? ''}`;
      const isMeant = ({ tags }: Pick<News, 'tags'>) => isFor(wish, tags);
      const frames =
        made.get(key) ??
        framesOf(
          told.filter(isMeant).map(({ text }) => text),
          batch,
        );
      made.set(key, frames);
      for (const frame of frames) sendQuietly(socket, frame);
      sent += frames.length;
    }
    return sent;
  }

  /** Those who may still see; the others are let go, though no news may be for them. */
  #current(now: number): [WebSocket, Wish][] {
    return this.#open.flatMap((socket): [WebSocket, Wish][] => {
      const wish = this.#wishOf(socket);
      if (wish && !isOver(wish, now)) return [[socket, wish]];
      if (wish) closeBack(socket, CLOSE_CODES.expired, 'the token has expired');
      else closeBack(socket, CLOSE_CODES.stale, 'dial again');
      return [];
    });
  }

  get #open(): WebSocket[] {
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

function isOver({ until }: Wish, now: number): boolean {
  return until !== null && until <= now;
}
