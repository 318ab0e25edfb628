// Responsible for one WebSocket to the job's object, from its dial to its end: calls and their
// answers, and what the server says unasked. Must not decide what follows its end: that is
// server-link.ts.
import {
  BEARER_SUBPROTOCOL,
  CLOSE_CODES,
  RENDERER_SUBPROTOCOL,
  RendererNotice,
  type RendererFrame,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Answer, Transport } from './server-calls.ts';
import { refusalIn, Unreachable } from './server-reply.ts';

/** The server asks for another pace. */
export type Pace = Extract<RendererNotice, { type: 'pace' }>;

const NoticeText = v.pipe(v.string(), v.parseJson(), RendererNotice);
const NORMAL_CLOSURE = 1000;

export interface Dial {
  readonly url: string;
  readonly token: string;
  /** How long a call, or the dial itself, may stay unanswered, ms. */
  readonly callMs: number;
  readonly onPace: (pace: Pace) => void;
  /** The attempt is no longer ours. */
  readonly onStop: (code: string) => void;
}

/** How a socket's life went. */
export interface SocketEnd {
  readonly code: number;
  /** From its opening to the last that was heard on it, ms; later than that nobody knows. */
  readonly provenMs: number;
}

interface OpenCall {
  readonly resolve: (answer: Answer) => void;
  readonly reject: (error: Error) => void;
  readonly timer: NodeJS.Timeout;
}

export class ServerSocket implements Transport {
  readonly #dial: Dial;
  readonly #socket: WebSocket;
  readonly #dialTimer: NodeJS.Timeout;
  readonly #calls = new Map<number, OpenCall>();
  readonly #over = new AbortController();
  readonly #opened = Promise.withResolvers<boolean>();
  readonly #ended = Promise.withResolvers<SocketEnd>();
  #openedAt = 0;
  #heardAt = 0;

  /** Dials. @throws when the address or the token cannot be dialled, now or later. */
  constructor(dial: Dial) {
    this.#dial = dial;
    const protocols = [RENDERER_SUBPROTOCOL, `${BEARER_SUBPROTOCOL}${dial.token}`];
    this.#socket = new WebSocket(dial.url, protocols);
    const on = { signal: this.#over.signal };
    this.#socket.addEventListener('open', () => this.#open(), on);
    this.#socket.addEventListener('message', ({ data }) => this.#hear(data), on);
    this.#socket.addEventListener('close', ({ code }) => this.#finish(code), on);
    this.#dialTimer = this.#closeLater();
  }

  /** Whether it opened, once that is known. */
  get opened(): Promise<boolean> {
    return this.#opened.promise;
  }

  get ended(): Promise<SocketEnd> {
    return this.#ended.promise;
  }

  get isOpen(): boolean {
    return this.#socket.readyState === WebSocket.OPEN && !this.#over.signal.aborted;
  }

  /**
   * Sends a call and waits for its answer. A call that stays unanswered ends the socket, even when
   * its caller has left: on a half-open one everything that follows would be lost too.
   */
  async call(frame: RendererFrame, signal: AbortSignal): Promise<Answer> {
    signal.throwIfAborted();
    if (!this.isOpen) throw new Unreachable('the socket is not open');
    const { promise, resolve, reject } = Promise.withResolvers<Answer>();
    this.#calls.set(frame.seq, { resolve, reject, timer: this.#closeLater() });
    this.#socket.send(JSON.stringify(frame));
    const leave = () => reject(signal.reason);
    signal.addEventListener('abort', leave);
    try {
      return await promise;
    } finally {
      signal.removeEventListener('abort', leave);
    }
  }

  /** Ends it at once, without waiting for the other side: a half-open one would never answer. */
  close(): void {
    this.#finish(NORMAL_CLOSURE);
    this.#socket.close(NORMAL_CLOSURE);
  }

  #closeLater(): NodeJS.Timeout {
    return setTimeout(() => this.close(), this.#dial.callMs).unref();
  }

  #open(): void {
    clearTimeout(this.#dialTimer);
    this.#openedAt = this.#heardAt = performance.now();
    this.#opened.resolve(true);
  }

  #hear(data: unknown): void {
    const parsed = v.safeParse(NoticeText, data);
    // A newer server may say more.
    if (!parsed.success) return;
    this.#heardAt = performance.now();
    const notice = parsed.output;
    switch (notice.type) {
      case 'ack':
        return this.#answered(notice.seq)?.resolve(notice);
      case 'refused':
        return this.#answered(notice.seq)?.reject(refusalIn(notice.problem));
      case 'pace':
        return this.#dial.onPace(notice);
      case 'stop':
        return this.#dial.onStop(notice.code);
      case 'pong':
        return undefined;
    }
  }

  #answered(seq: number): OpenCall | undefined {
    const call = this.#calls.get(seq);
    clearTimeout(call?.timer);
    this.#calls.delete(seq);
    return call;
  }

  #finish(code: number): void {
    if (this.#over.signal.aborted) return;
    this.#over.abort();
    clearTimeout(this.#dialTimer);
    if (code === CLOSE_CODES.fenced) this.#dial.onStop('fenced');
    for (const seq of this.#calls.keys()) {
      this.#answered(seq)?.reject(new Unreachable('the socket was lost'));
    }
    this.#opened.resolve(false);
    this.#ended.resolve({ code, provenMs: this.#heardAt - this.#openedAt });
  }
}
