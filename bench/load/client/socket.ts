// Responsible for one WebSocket of the bench's client.
import { connect, type Socket } from 'node:net';
import { closeFrame, FrameReader, textFrame } from './frames.ts';

/** Where a WebSocket is opened on this machine. */
export interface Door {
  readonly port: number;
  readonly path: string;
  readonly protocols: readonly string[];
}

const HEAD_END = '\r\n\r\n';
const PATIENCE_MS = 20_000;

/** All sockets of a process are read into the same bytes: each reading is done before the next begins. */
const incoming = Buffer.allocUnsafe(256 * 1024);

export interface OpenSocket {
  say(text: string): void;
  /** Sends a close frame and ends the connection. */
  close(): void;
}

/**
 * Opens a WebSocket.
 * @throws when it is refused, with what the server said.
 */
export async function openSocket(
  door: Door,
  onText: (text: string) => void,
  onEnd: (error?: Error) => void = () => undefined,
): Promise<OpenSocket> {
  const opened = Promise.withResolvers<void>();
  const reader = new FrameReader(onText);
  let head: string | null = '';
  const take = (bytes: Buffer): void => {
    if (head === null) return reader.feed(bytes);
    head += bytes.toString('latin1');
    const end = head.indexOf(HEAD_END);
    if (end < 0) return;
    if (!head.startsWith('HTTP/1.1 101')) return opened.reject(new Error(`refused: ${head}`));
    const rest = Buffer.from(head.slice(end + HEAD_END.length), 'latin1');
    head = null;
    opened.resolve();
    reader.feed(rest);
  };
  const socket = dial(door.port, take);
  const timer = setTimeout(() => socket.destroy(new Error('no answer')), PATIENCE_MS);
  socket.once('error', (error) => (opened.reject(error), onEnd(error)));
  socket.once('close', () => (opened.reject(new Error('closed')), onEnd()));
  socket.write(upgradeOf(door));
  await opened.promise.finally(() => clearTimeout(timer));
  return {
    say: (text) => void socket.write(textFrame(text)),
    close: () => void socket.end(closeFrame()),
  };
}

/** A connection that is read without an allocation for each reading. */
export function dial(port: number, take: (bytes: Buffer) => void): Socket {
  const callback = (size: number): boolean => {
    take(incoming.subarray(0, size));
    return true;
  };
  const socket = connect({ host: '127.0.0.1', port, onread: { buffer: incoming, callback } });
  socket.setNoDelay(true);
  return socket;
}

function upgradeOf({ port, path, protocols }: Door): string {
  const lines = [
    `GET ${path} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    'Upgrade: websocket',
    'Connection: Upgrade',
    'Sec-WebSocket-Version: 13',
    // Any 16 bytes; what the server makes of them is not looked at.
    `Sec-WebSocket-Key: ${Buffer.from('export-jobs-load').toString('base64')}`,
    ...(protocols.length > 0 ? [`Sec-WebSocket-Protocol: ${protocols.join(', ')}`] : []),
  ];
  return `${lines.join('\r\n')}${HEAD_END}`;
}
