import type { Clock } from '../clock.ts';
import type { Random } from '../random.ts';

/** What one end of a connection does with what arrives. */
export interface Listener {
  message(text: string): void;
  close(code: number): void;
}

const OPEN = 1;
const CLOSING = 2;
const CLOSED = 3;
/** The code of a connection that broke without a word. */
export const BROKEN = 1006;

/** One end of a WebSocket, as far as the object and those who dial it use it. */
export class Socket {
  readyState = OPEN;
  /** Hears what is sent here. */
  onSend: ((text: string) => void) | null = null;
  readonly #wire: Wire;
  #attachment: unknown;
  #inbox: string[] = [];
  /** The code that it was closed with before anybody listened. */
  #closedBy: number | null = null;
  #listener: Listener | null = null;

  constructor(wire: Wire) {
    this.#wire = wire;
  }

  get isOpen(): boolean {
    return this.readyState === OPEN;
  }

  /** The connection that it is an end of. */
  get wire(): Wire {
    return this.#wire;
  }

  send(text: string): void {
    if (!this.isOpen) throw new Error('the socket is closed');
    this.onSend?.(text);
    this.#wire.carry(this, (peer) => peer.receive(text));
  }

  /** Begins the closing handshake; the other end answers it by itself. */
  close(code = 1005): void {
    if (!this.isOpen) return;
    this.readyState = CLOSING;
    this.#wire.carry(this, (peer) => peer.receiveClose(code));
  }

  receive(text: string): void {
    if (this.readyState === CLOSED) return;
    if (this.#listener) this.#listener.message(text);
    else this.#inbox.push(text);
  }

  receiveClose(code: number): void {
    if (this.readyState === CLOSED) return;
    const isAsked = this.isOpen;
    this.readyState = CLOSED;
    if (isAsked && code !== BROKEN) this.#wire.carry(this, (peer) => peer.receiveClose(code));
    if (this.#listener) this.#listener.close(code);
    else this.#closedBy = code;
  }

  /** Starts to listen; what came before is heard first. */
  listen(listener: Listener): void {
    this.#listener = listener;
    for (const text of this.#inbox.splice(0)) listener.message(text);
    if (this.#closedBy !== null) listener.close(this.#closedBy);
  }

  /** Whoever listened is no more: nothing is told to anybody. */
  abandon(): void {
    this.readyState = CLOSED;
    this.#listener = null;
  }

  serializeAttachment(value: unknown): void {
    this.#attachment = structuredClone(value);
  }

  deserializeAttachment(): unknown {
    return this.#attachment;
  }
}

/** What lies between two ends, and how long it takes. Without a delay what is sent is there at once. */
export class Wire {
  readonly ends: readonly [Socket, Socket];
  /** Whether all that is sent gets lost. */
  isDeaf = false;
  #clock: Clock | null = null;
  #delay: () => number = () => 0;
  readonly #busyUntil = new Map<Socket, number>();

  constructor() {
    this.ends = [new Socket(this), new Socket(this)];
  }

  /** Has everything take its time from now on; nothing overtakes. */
  lengthen(clock: Clock, delay: () => number): void {
    this.#clock = clock;
    this.#delay = delay;
  }

  carry(from: Socket, deliver: (peer: Socket) => void): void {
    if (this.isDeaf) return;
    const peer = this.#peerOf(from);
    if (!this.#clock) return deliver(peer);
    const at = Math.max(this.#clock.now + this.#delay(), this.#busyUntil.get(peer) ?? 0);
    this.#busyUntil.set(peer, at);
    this.#clock.at(at, () => {
      if (!this.isDeaf) deliver(peer);
    });
  }

  /** Breaks: each end notices by itself. */
  break(clock: Clock, random: Random): void {
    this.isDeaf = true;
    for (const end of this.ends) clock.after(random.int(1, 2000), () => end.receiveClose(BROKEN));
  }

  #peerOf(end: Socket): Socket {
    return end === this.ends[0] ? this.ends[1] : this.ends[0];
  }
}

/** `new WebSocketPair()`: two ends of one connection. */
export class SocketPair {
  readonly 0: Socket;
  readonly 1: Socket;

  constructor() {
    [this[0], this[1]] = new Wire().ends;
  }
}
