// Responsible for the network between one viewer and the server: TCP connections, and what goes wrong with
// them. Must not know what they carry, except to tell what a firewall lets through.
import { connect, createServer, type Server, type Socket } from 'node:net';

/** So many pieces may be on their way before the sender must wait. */
const MAX_BEHIND = 50;
const PIECE_BYTES = 200;
const PIECE_MS = 20;
const UNAVAILABLE =
  'HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n';

/** What happens to a new connection. */
export type Door = 'open' | 'refuse' | 'swallow' | 'unavailable';

/** What happens to what is carried. */
export interface Weather {
  readonly delayMs: number;
  readonly isSlow: boolean;
}
const CALM: Weather = { delayMs: 0, isSlow: false };

export interface WireOptions {
  readonly port: number;
  /** Requests that never get through; told by their first line. */
  readonly blocked?: RegExp | undefined;
}

/** A port on 127.0.0.1 that leads to the server's. */
export class Wire {
  door: Door = 'open';
  weather: Weather = CALM;
  readonly #options: WireOptions;
  readonly #server: Server;
  readonly #links = new Set<WireLink>();
  /** Also of those that were never let through. */
  readonly #callers = new Set<Socket>();

  private constructor(options: WireOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true }, (caller) => this.#accept(caller));
  }

  static async start(options: WireOptions): Promise<Wire> {
    const wire = new Wire(options);
    await new Promise<void>((resolve, reject) => {
      wire.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return wire;
  }

  get url(): string {
    const address = this.#server.address();
    if (typeof address !== 'object' || !address) throw new Error('the wire does not listen');
    return `http://127.0.0.1:${address.port}`;
  }

  /** Ends every connection. @returns how many. */
  cut(): number {
    const links = [...this.#links].filter(({ isFrozen }) => !isFrozen);
    for (const link of links) link.cut();
    return links.length;
  }

  /** Leaves every connection open, and carries nothing on it ever again. @returns how many. */
  freeze(): number {
    const links = [...this.#links].filter(({ isFrozen }) => !isFrozen);
    for (const link of links) link.isFrozen = true;
    return links.length;
  }

  /** From now on all works, but what is frozen stays so. */
  heal(): void {
    this.door = 'open';
    this.weather = CALM;
  }

  async close(): Promise<void> {
    for (const link of this.#links) link.cut();
    for (const caller of this.#callers) caller.destroy();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #accept(caller: Socket): void {
    this.#callers.add(caller);
    caller.on('error', () => undefined);
    caller.once('close', () => this.#callers.delete(caller));
    if (this.door === 'refuse') return void caller.resetAndDestroy();
    if (this.door === 'unavailable') {
      caller.once('data', () => caller.end(UNAVAILABLE));
      return;
    }
    const { port } = this.#options;
    const upstream = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
    const link = new WireLink(caller, upstream, () => this.weather, this.#options.blocked);
    link.isFrozen = this.door === 'swallow';
    this.#links.add(link);
    caller.once('close', () => {
      if (!link.isFrozen || upstream.destroyed) this.#links.delete(link);
    });
  }
}

/** One connection, in both directions. */
class WireLink {
  isFrozen = false;
  readonly #caller: Socket;
  readonly #upstream: Socket;

  constructor(caller: Socket, upstream: Socket, weather: () => Weather, blocked?: RegExp) {
    this.#caller = caller;
    this.#upstream = upstream;
    upstream.on('error', () => undefined);
    caller.on('data', (bytes: Buffer) => {
      if (blocked?.test(firstLineOf(bytes))) this.cut();
    });
    const isFrozen = () => this.isFrozen;
    carry(caller, upstream, { weather, isFrozen });
    carry(upstream, caller, { weather, isFrozen });
  }

  cut(): void {
    this.#caller.destroy();
    this.#upstream.destroy();
  }
}

interface Conditions {
  readonly weather: () => Weather;
  readonly isFrozen: () => boolean;
}

/** One direction. What is said arrives whole and in its order, and before the end. */
function carry(from: Socket, to: Socket, { weather, isFrozen }: Conditions): void {
  const line = new Line((behind) => (behind > MAX_BEHIND ? from.pause() : from.resume()));
  from.on('data', (bytes: Buffer) => {
    const { delayMs, isSlow } = weather();
    for (const piece of isSlow ? piecesOf(bytes) : [bytes]) {
      const apartMs = isSlow ? PIECE_MS : 0;
      line.later({ delayMs, apartMs }, () => void (isFrozen() || to.destroyed || to.write(piece)));
    }
  });
  const atOnce = { delayMs: 0, apartMs: 0 };
  from.once('end', () => line.later(atOnce, () => void (isFrozen() || to.end())));
  // A connection that was reset ends at once; on a frozen one the other side never hears of it.
  from.once('close', () => line.later(atOnce, () => void (isFrozen() || to.destroySoon())));
}

/** Actions that happen one after the other, in the order in which they were asked for. */
class Line {
  readonly #onBehind: (behind: number) => void;
  readonly #waiting: { readonly dueAt: number; readonly action: () => void }[] = [];
  #lastDueAt = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(onBehind: (behind: number) => void) {
    this.#onBehind = onBehind;
  }

  /** @param when how long after now, and how long after the one before, ms. */
  later({ delayMs, apartMs }: { delayMs: number; apartMs: number }, action: () => void): void {
    this.#lastDueAt = Math.max(this.#lastDueAt + apartMs, performance.now() + delayMs);
    this.#waiting.push({ dueAt: this.#lastDueAt, action });
    if (this.#timer === undefined) this.#go();
  }

  #go(): void {
    this.#timer = undefined;
    for (let next = this.#waiting[0]; next; next = this.#waiting[0]) {
      const waitMs = next.dueAt - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#go(), waitMs);
        break;
      }
      this.#waiting.shift();
      next.action();
    }
    this.#onBehind(this.#waiting.length);
  }
}

function piecesOf(bytes: Buffer): Buffer[] {
  const count = Math.ceil(bytes.length / PIECE_BYTES);
  return Array.from({ length: count }, (_, n) =>
    bytes.subarray(n * PIECE_BYTES, (n + 1) * PIECE_BYTES),
  );
}

function firstLineOf(bytes: Buffer): string {
  return bytes.subarray(0, 300).toString('latin1').split('\r\n')[0] ?? '';
}
