// The server's side of a WebSocket over a plain HTTP upgrade, by hand, so that a test can break it in
// every way that a network can: refuse it, leave it hanging, swallow what comes, cut it without a word.
import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';

const GUID = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const TEXT = 1;
const CLOSE = 8;
const PING = 9;
const PONG = 10;

export interface AcceptedSocket {
  /** Says this text. */
  send(text: string): void;
  /** Says bytes that are no text. */
  sendBinary(bytes: Buffer): void;
  /** Closes properly. */
  close(code: number): void;
  /** Cuts the connection without a word. */
  cut(): void;
  /** Resolves with the code of the other side's close, or null when it just went away. */
  readonly closed: Promise<number | null>;
}

/** The subprotocols that a client offers. */
export function offeredProtocols({ headers }: IncomingMessage): string[] {
  return (headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
}

/** Answers the upgrade with a refusal. */
export function refuseUpgrade(stream: Duplex, status: number): void {
  stream.end(`HTTP/1.1 ${status} No\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
}

/** Answers the upgrade; `onText` is given every text that comes. */
export function acceptUpgrade(
  request: IncomingMessage,
  stream: Duplex,
  protocol: string,
  onText: (text: string) => void,
): AcceptedSocket {
  const key = request.headers['sec-websocket-key'] ?? '';
  const accept = createHash('sha1').update(`${key}${GUID}`).digest('base64');
  stream.write(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${protocol}\r\n\r\n`,
  );
  const closed = Promise.withResolvers<number | null>();
  stream.on('close', () => closed.resolve(null));
  stream.on('error', () => stream.destroy());
  const write = (opcode: number, payload: Buffer) => {
    if (stream.writable) stream.write(frame(opcode, payload));
  };
  readFrames(stream, (opcode, payload) => {
    if (opcode === TEXT) onText(payload.toString('utf8'));
    if (opcode === PING) write(PONG, payload);
    if (opcode !== CLOSE) return;
    closed.resolve(payload.length >= 2 ? payload.readUInt16BE(0) : 1005);
    write(CLOSE, payload);
    stream.end();
  });
  return {
    send: (text) => write(TEXT, Buffer.from(text)),
    sendBinary: (bytes) => write(2, bytes),
    close(code) {
      const payload = Buffer.alloc(2);
      payload.writeUInt16BE(code);
      write(CLOSE, payload);
      stream.end();
    },
    cut: () => stream.destroy(),
    closed: closed.promise,
  };
}

function frame(opcode: number, payload: Buffer): Buffer {
  const { length } = payload;
  const size = length < 126 ? [length] : [126, length >> 8, length & 255];
  return Buffer.concat([Buffer.from([0x80 | opcode, ...size]), payload]);
}

/** A client masks each of its frames; none of ours is split or longer than 64 KB. */
function readFrames(stream: Duplex, onFrame: (opcode: number, payload: Buffer) => void): void {
  let pending = Buffer.alloc(0);
  stream.on('data', (chunk: Buffer) => {
    pending = Buffer.concat([pending, chunk]);
    for (;;) {
      if (pending.length < 4) return;
      const short = pending.readUInt8(1) & 127;
      const isLong = short === 126;
      const from = isLong ? 8 : 6;
      const length = isLong ? pending.readUInt16BE(2) : short;
      if (pending.length < from + length) return;
      const mask = pending.subarray(from - 4, from);
      const payload = Buffer.from(pending.subarray(from, from + length));
      for (let i = 0; i < length; i += 1) payload[i] = payload.readUInt8(i) ^ mask.readUInt8(i % 4);
      const opcode = pending.readUInt8(0) & 15;
      pending = pending.subarray(from + length);
      onFrame(opcode, payload);
    }
  });
}
