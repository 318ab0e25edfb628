// Responsible for having a socket to the server whenever one can be had: dials, and dials again.
import type { Patience } from './patience.ts';
import { redact } from './redact.ts';
import { backoff, pause } from './runpod/pause.ts';
import type { Log } from './runpod/log.ts';
import { ServerSocket, type Dial, type SocketEnd } from './server-socket.ts';

export class ServerLink {
  readonly #dial: Dial;
  readonly #patience: Patience;
  readonly #log: Log;
  readonly #closed = new AbortController();
  readonly #tried = new AbortController();
  #socket: ServerSocket | undefined;

  /** Begins to dial; never throws. */
  constructor(dial: Dial, patience: Patience, log: Log) {
    this.#dial = dial;
    this.#patience = patience;
    this.#log = log;
    void this.#keepOpen();
  }

  /** The socket on which a call can be made now. */
  get socket(): ServerSocket | undefined {
    return this.#socket?.isOpen ? this.#socket : undefined;
  }

  /** Aborts once the first dial has come to something, an open socket or none. */
  get tried(): AbortSignal {
    return this.#tried.signal;
  }

  /** Ends the socket and all dialling. */
  close(): void {
    this.#closed.abort();
    this.#tried.abort();
    this.#socket?.close();
  }

  async #keepOpen(): Promise<void> {
    const { dialBaseMs, dialCapMs, settledMs } = this.#patience;
    const closed = this.#closed.signal;
    for (let failures = 0; !closed.aborted; failures += 1) {
      const socket = this.#dialOnce();
      if (!socket) return;
      const wasOpen = await socket.opened;
      this.#tried.abort();
      if (wasOpen) this.#log('info', 'the socket to the server is open');
      const end = await socket.ended;
      if (closed.aborted) return;
      if (wasOpen || failures === 0) this.#logEnd(end);
      if (end.provenMs >= settledMs) failures = 0;
      await pause(backoff(failures, dialBaseMs, dialCapMs), closed);
    }
  }

  #dialOnce(): ServerSocket | undefined {
    try {
      this.#socket = new ServerSocket(this.#dial);
      return this.#socket;
    } catch (error) {
      // It would fail each time.
      this.#tried.abort();
      this.#log('warn', 'the socket cannot be dialled; calls go by POST', {
        reason: redact(error),
      });
      return undefined;
    }
  }

  #logEnd({ code }: SocketEnd): void {
    this.#log('warn', 'there is no socket to the server; calls go by POST meanwhile', { code });
  }
}
