// A real HTTP and WebSocket server on 127.0.0.1 whose every answer a test decides, so that each
// way in which a network can misbehave is played over real sockets.
import { createHash } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';

export interface ViewerSocket {
  /** The query, headers and subprotocols that the viewer dialled with. */
  readonly url: string;
  readonly protocols: string[];
  send(message: unknown): void;
  /** A proper close with a code. */
  close(code: number): void;
  /** Cuts the connection without a word. */
  cut(): void;
  /** Resolves with the code of the viewer's own close, or null when it just went away. */
  readonly closed: Promise<number | null>;
}

/** An open answer of server-sent events. */
export interface ViewerStream {
  readonly url: string;
  readonly authorization: string | undefined;
  /** One whole event. */
  send(message: { seq: number }): void;
  /** Any bytes, such as a comment or half an event. */
  write(bytes: string | Uint8Array): void;
  end(): void;
  cut(): void;
  /** Resolves when it is over, whoever ended it. */
  readonly closed: Promise<void>;
}

export interface Handlers {
  /** Serves `GET …/stream`; without it that is refused with 404, as `http` decides. */
  stream?: (stream: ViewerStream, dial: number) => void;
  http?: (request: IncomingMessage, body: Buffer, response: ServerResponse) => void;
  /** Refuse an upgrade by returning an HTTP status; 0 leaves it hanging without any answer. */
  refuse?: (url: string) => number | null;
  socket?: (socket: ViewerSocket, dial: number) => void;
  /** Answer pings? By default yes. */
  pong?: boolean;
}

export async function viewerServer(handlers: Handlers) {
  let dials = 0;
  let streams = 0;
  const open = new Set<Duplex>();
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      if (isStream(request)) streams += 1;
      if (isStream(request) && handlers.stream)
        handlers.stream(eventsTo(request, response), streams);
      else if (handlers.http) handlers.http(request, Buffer.concat(chunks), response);
      else json(response, 404, problem('job_not_found', 404));
    });
  });
  server.on('upgrade', (request, stream) => {
    open.add(stream);
    stream.on('close', () => open.delete(stream));
    stream.on('error', () => undefined);
    dials += 1;
    const status = handlers.refuse?.(request.url ?? '') ?? null;
    if (status === 0) return;
    if (status !== null) {
      stream.end(`HTTP/1.1 ${status} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      return;
    }
    handlers.socket?.(accept(request, stream, handlers.pong ?? true), dials);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    baseUrl: `http://127.0.0.1:${portOf(server.address())}`,
    dials: () => dials,
    streams: () => streams,
    openSockets: () => open.size,
    async [Symbol.asyncDispose]() {
      for (const stream of open) stream.destroy();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

const isStream = (request: IncomingMessage) =>
  new URL(request.url ?? '', 'http://here').pathname.endsWith('/stream');

function eventsTo(request: IncomingMessage, response: ServerResponse): ViewerStream {
  response.writeHead(200, { 'content-type': 'text/event-stream' });
  response.flushHeaders();
  const closed = Promise.withResolvers<void>();
  response.on('close', closed.resolve);
  return {
    url: request.url ?? '',
    authorization: request.headers.authorization,
    send: (message) => response.write(`id: ${message.seq}\ndata: ${JSON.stringify(message)}\n\n`),
    write: (bytes) => response.write(bytes),
    end: () => response.end(),
    cut: () => request.socket.destroy(),
    closed: closed.promise,
  };
}

export function json(response: ServerResponse, status: number, body: unknown): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

export function problem(code: string, status: number, retryable = false) {
  return {
    type: `urn:export-jobs:problem:${code}`,
    title: `Refused: ${code}`,
    status,
    code,
    retryable,
  };
}

function portOf(address: AddressInfo | string | null): number {
  if (address === null || typeof address === 'string') throw new Error('not listening');
  return address.port;
}

function accept(request: IncomingMessage, stream: Duplex, pong: boolean): ViewerSocket {
  const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(', ');
  const key = createHash('sha1')
    .update(`${request.headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest('base64');
  stream.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${key}\r\nSec-WebSocket-Protocol: ${protocols[0]}\r\n\r\n`,
  );
  const closed = Promise.withResolvers<number | null>();
  stream.on('close', () => closed.resolve(null));
  readFrames(stream, (opcode, payload) => {
    if (opcode === 1 && pong && payload.toString() === '{"type":"ping"}') {
      stream.write(frame(1, Buffer.from('{"type":"pong"}')));
    }
    if (opcode === 8) {
      closed.resolve(payload.length >= 2 ? payload.readUInt16BE(0) : 1005);
      stream.end(frame(8, payload));
    }
  });
  return {
    url: request.url ?? '',
    protocols,
    send: (message) => stream.write(frame(1, Buffer.from(JSON.stringify(message)))),
    close(code) {
      const payload = Buffer.alloc(2);
      payload.writeUInt16BE(code);
      stream.end(frame(8, payload));
    },
    cut: () => stream.destroy(),
    closed: closed.promise,
  };
}

function frame(opcode: number, payload: Buffer): Buffer {
  const head =
    payload.length < 126
      ? Buffer.from([0x80 | opcode, payload.length])
      : Buffer.from([0x80 | opcode, 126, payload.length >> 8, payload.length & 255]);
  return Buffer.concat([head, payload]);
}

// Viewers send only short frames, always masked.
function readFrames(stream: Duplex, onFrame: (opcode: number, payload: Buffer) => void): void {
  let pending = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 6) {
      const length = pending.readUInt8(1) & 127;
      if (pending.length < 6 + length) return;
      const mask = pending.subarray(2, 6);
      const payload = Buffer.from(pending.subarray(6, 6 + length));
      for (let i = 0; i < length; i += 1) payload[i] = payload.readUInt8(i) ^ mask.readUInt8(i % 4);
      onFrame(pending.readUInt8(0) & 15, payload);
      pending = pending.subarray(6 + length);
    }
  });
}
