// Responsible for one link between two parts: passes HTTP calls and WebSockets on, and does to them
// what the seed says. Must not know what the calls mean.
import {
  createServer,
  request as requestHttp,
  type IncomingMessage,
  type Server,
  type ServerResponse,
} from 'node:http';
import { connect, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import { FrameReader } from './frames.ts';
import type { CallFault, FaultRate, Link } from './plan.ts';
import type { Random } from './random.ts';
import type { Tally } from './tally.ts';

/** A caller has given up after this long in any case, ms. */
const BLACK_HOLE_MS = 12_000;

interface Reply {
  readonly status: number;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

interface Call {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export interface ProxyOptions {
  readonly link: Link;
  readonly faults: FaultRate<CallFault>;
  readonly random: Random;
  readonly tally: Tally;
  /** Gets every answer of the server, also those that never reach the caller. */
  readonly onReply?: (method: string, path: string, status: number) => void;
  /** Gets every text on a WebSocket, also those that never arrive. */
  readonly onText?: (path: string, from: 'caller' | 'server', text: string) => void;
}

/** A proxy on 127.0.0.1 in front of one server. */
export class ChaosProxy {
  readonly #options: ProxyOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Duplex>();
  readonly #healed = new AbortController();
  #target: URL | undefined;
  #partitionedUntil = 0;

  private constructor(options: ProxyOptions) {
    this.#options = options;
    this.#server = createServer((request, response) => {
      void this.#serve(request, response).catch(() => request.socket.destroy());
    });
    this.#server.on('connection', (socket) => this.#keep(socket));
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
    // What hangs must hang for as long as the caller waits.
    this.#server.requestTimeout = 0;
  }

  static async start(options: ProxyOptions): Promise<ChaosProxy> {
    const proxy = new ChaosProxy(options);
    await new Promise<void>((resolve, reject) => {
      proxy.#server.once('error', reject).listen(0, '127.0.0.1', resolve);
    });
    return proxy;
  }

  get url(): string {
    const address = this.#server.address();
    if (typeof address !== 'object' || !address) throw new Error('the proxy does not listen');
    return `http://127.0.0.1:${address.port}`;
  }

  /** Says where calls go. @returns where to call instead. */
  to(url: string): string {
    this.#target = new URL(url.replace('localhost', '127.0.0.1'));
    return this.url;
  }

  /** Cuts every open connection. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Lets nothing through for a while, ms; then what hung is cut. */
  async partition(ms: number): Promise<void> {
    this.#partitionedUntil = Date.now() + ms;
    for (const socket of this.#sockets) socket.pause();
    await sleep(ms, undefined, { signal: this.#healed.signal }).catch(() => undefined);
    this.cut();
  }

  /** Stops all faults, for good. */
  heal(): void {
    this.#partitionedUntil = 0;
    this.#healed.abort();
  }

  async close(): Promise<void> {
    this.heal();
    this.cut();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #keep(socket: Duplex): void {
    this.#sockets.add(socket);
    socket.once('close', () => this.#sockets.delete(socket));
    socket.on('error', () => undefined);
  }

  /** What happens to the next call. */
  #draw(what: string, name = (kind: CallFault): string => kind): CallFault | null {
    const { faults, random, tally, link } = this.#options;
    if (this.#healed.signal.aborted) return null;
    if (Date.now() < this.#partitionedUntil) return 'black hole';
    // Both are drawn for each call, so that the nth call has the same fate whatever came before.
    const [goesWrong, kind] = [random.chance(faults.rate), random.pick(faults.kinds)];
    if (!goesWrong) return null;
    tally.add(`${link}: ${name(kind)}`, what);
    return kind;
  }

  async #serve(request: IncomingMessage, response: ServerResponse) {
    const { method = 'GET', url: path = '/', headers } = request;
    const fault = this.#draw(`${method} ${path.split('?')[0]}`);
    if (fault === 'dropped') return request.socket.destroy();
    const call: Call = { method, path, headers, body: await bodyOf(request) };
    const gone = new AbortController();
    response.once('close', () => gone.abort());
    const reply = await this.#carry(call, fault, request.socket, gone.signal);
    if (!reply || response.destroyed) return request.socket.destroy();
    response.writeHead(reply.status, { ...reply.headers, 'content-length': reply.body.length });
    if (fault !== 'reply cut') return response.end(reply.body);
    response.write(reply.body.subarray(0, reply.body.length / 2));
    setTimeout(() => request.socket.destroy(), 20);
    return undefined;
  }

  /** Carries a call to the server and back. @returns null when the caller gets no answer. */
  async #carry(
    call: Call,
    fault: CallFault | null,
    caller: Socket,
    gone: AbortSignal,
  ): Promise<Reply | null> {
    const { random } = this.#options;
    switch (fault) {
      case 'reply lost':
        await this.#forward(call, gone);
        return null;
      case 'doubled':
        return await this.#twice(call, gone);
      case 'delayed':
        await this.#pause(random.between(50, 3000));
        return await this.#forward(call, gone);
      case 'reordered':
        // The caller believes it lost and goes on; it arrives after what the caller says next.
        caller.destroy();
        await this.#pause(random.between(200, 5000));
        await this.#forward(call);
        return null;
      case 'answered 5xx':
        return plain(random.pick([500, 502, 503, 504]));
      case 'done, answered 5xx':
        await this.#forward(call, gone);
        return plain(502);
      case 'request cut':
        await this.#forwardHalf(call);
        return null;
      case 'black hole':
        await sleep(BLACK_HOLE_MS, undefined, {
          signal: AbortSignal.any([gone, this.#healed.signal]),
        }).catch(() => undefined);
        return null;
      case 'dropped':
        return null;
      case 'reply cut':
      case null:
        return await this.#forward(call, gone);
    }
  }

  /** The same call at the same time or a little later; one of the answers counts. */
  async #twice(call: Call, gone: AbortSignal): Promise<Reply | null> {
    const { random } = this.#options;
    const laterMs = random.pick([0, 0, random.between(1, 3000)]);
    const first = this.#forward(call, gone);
    const again = this.#pause(laterMs).then(() => this.#forward(call, AbortSignal.timeout(30_000)));
    // Nobody waits for the other answer.
    again.catch(() => undefined);
    return await first;
  }

  async #pause(ms: number): Promise<void> {
    await sleep(ms, undefined, { signal: this.#healed.signal }).catch(() => undefined);
  }

  async #forward(call: Call, signal?: AbortSignal): Promise<Reply> {
    return await new Promise((resolve, reject) => {
      const request = this.#open(call, signal);
      request.once('error', reject).once('response', (response) => {
        const { statusCode: status = 502, headers } = response;
        const { 'transfer-encoding': _, connection: __, ...kept } = headers;
        this.#options.onReply?.(call.method, call.path, status);
        bodyOf(response).then((body) => resolve({ status, headers: kept, body }), reject);
      });
      request.end(call.body);
    });
  }

  /** Sends a part of a call that never becomes whole. */
  async #forwardHalf(call: Call): Promise<void> {
    const request = this.#open(call);
    request.on('error', () => undefined);
    if (call.body.length > 1) request.write(call.body.subarray(0, call.body.length / 2));
    await sleep(50);
    request.destroy();
  }

  #open({ method, path, headers, body }: Call, signal?: AbortSignal) {
    if (!this.#target) throw new Error('the proxy leads nowhere yet');
    const { host, hostname, port } = this.#target;
    const { 'transfer-encoding': _, connection: __, expect: ___, ...kept } = headers;
    const length = body.length > 0 || method !== 'GET' ? { 'content-length': body.length } : {};
    const options = { hostname, port, method, path, agent: false as const };
    return requestHttp({
      ...options,
      headers: { ...kept, ...length, host },
      ...(signal ? { signal } : {}),
    });
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const fault = this.#draw(`${request.url?.split('?')[0]}`, nameForSocket);
    this.#keep(socket);
    if (!this.#target || fault === 'dropped' || fault === 'answered 5xx') {
      socket.destroy();
      return;
    }
    if (fault === 'black hole') {
      setTimeout(() => socket.destroy(), BLACK_HOLE_MS).unref();
      return;
    }
    const upstream = connect(Number(this.#target.port), this.#target.hostname);
    this.#keep(upstream);
    upstream.once('connect', () => {
      upstream.write(`${request.method} ${request.url} HTTP/1.1\r\n`);
      for (let n = 0; n < request.rawHeaders.length; n += 2) {
        // Without extensions it can be read along.
        if (/^sec-websocket-extensions$/i.test(request.rawHeaders[n] ?? '')) continue;
        upstream.write(`${request.rawHeaders[n]}: ${request.rawHeaders[n + 1]}\r\n`);
      }
      upstream.write('\r\n');
      upstream.write(head);
      this.#readAlong(request.url ?? '', socket, upstream);
      socket.pipe(upstream).pipe(socket);
    });
    socket.once('close', () => upstream.destroy());
    upstream.once('close', () => socket.destroy());
    if (fault !== null) this.#disturb(socket, upstream);
  }

  #readAlong(path: string, socket: Duplex, upstream: Duplex): void {
    const { onText } = this.#options;
    if (!onText) return;
    const said = new FrameReader((text) => onText(path, 'caller', text));
    const heard = new FrameReader((text) => onText(path, 'server', text));
    socket.on('data', (chunk: Buffer) => said.push(chunk));
    // What comes before the first frame is the answer to the upgrade.
    let head: string | null = '';
    upstream.on('data', (chunk: Buffer) => {
      if (head === null) return heard.push(chunk);
      head += chunk.toString('latin1');
      const end = head.indexOf('\r\n\r\n');
      if (end < 0) return undefined;
      heard.push(Buffer.from(head.slice(end + 4), 'latin1'));
      head = null;
      return undefined;
    });
  }

  /** A socket that was let through goes wrong later: it stands still for a while, then it is cut. */
  #disturb(socket: Duplex, upstream: Duplex): void {
    const { random } = this.#options;
    const [afterMs, stillMs] = [
      random.between(50, 4000),
      random.pick([0, random.between(50, 3000)]),
    ];
    void this.#pause(afterMs).then(async () => {
      upstream.pause();
      await this.#pause(stillMs);
      socket.destroy();
    });
  }
}

/** What the faults of calls come to on a WebSocket. */
function nameForSocket(kind: CallFault): string {
  if (kind === 'dropped' || kind === 'answered 5xx') return 'WebSocket refused';
  return kind === 'black hole' ? 'WebSocket black hole' : 'WebSocket cut';
}

function plain(status: number): Reply {
  const body = Buffer.from('something between went wrong\n');
  return { status, headers: { 'content-type': 'text/plain' }, body };
}

async function bodyOf(stream: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) if (chunk instanceof Buffer) chunks.push(chunk);
  return Buffer.concat(chunks);
}
