// Responsible for one connection: sends the bytes of an input exactly as they are, and reads what comes
// back. `fetch` and `ws` would put right, or refuse, what is wrong on purpose.
import { connect, type Socket } from 'node:net';
import { PONG } from '@export-jobs/protocol';
import type { Answer, Input, Outcome } from './input.ts';

/** How long an answer may take, ms: what takes longer hangs. */
export const LIMIT_MS = 15_000;
/** How long we wait where nothing need come, ms. */
const PATIENCE_MS = 250;

/** Sends an input and waits for what it expects, for the end of the connection, or for the limit. */
export async function exchange(port: number, input: Input): Promise<Outcome> {
  const startedAt = performance.now();
  const reader = new Reader(input);
  const tcp = connect({ port, host: '127.0.0.1', allowHalfOpen: true });
  tcp.on('error', () => undefined);
  tcp.on('data', (bytes) => reader.push(bytes, tcp));
  const closed = new Promise<'closed'>((resolve) => {
    tcp.once('end', () => resolve('closed'));
    tcp.once('close', () => resolve('closed'));
  });
  let timer: NodeJS.Timeout | undefined;
  const limit = new Promise<'silent' | 'left'>((resolve) => {
    const isIdle = input.expect.by === 'nothing';
    timer = setTimeout(() => resolve(isIdle ? 'left' : 'silent'), isIdle ? PATIENCE_MS : LIMIT_MS);
  });
  const sent = send(tcp, input.pieces);
  const end = await Promise.race([reader.done, closed, limit]);
  clearTimeout(timer);
  tcp.destroy();
  await sent;
  const { answer, texts, closeCode } = reader;
  return { answer, texts, closeCode, end, ms: performance.now() - startedAt };
}

async function send(tcp: Socket, pieces: Input['pieces']): Promise<void> {
  for (const piece of pieces) {
    if (tcp.destroyed) return;
    if (piece === 'end') tcp.end();
    else if (Buffer.isBuffer(piece)) tcp.write(piece);
    else await new Promise((resolve) => setTimeout(resolve, piece.pause));
  }
}

/** Reads an answer and, after an upgrade, frames. */
class Reader {
  answer: Answer | null = null;
  readonly texts: string[] = [];
  closeCode: number | null = null;
  readonly done: Promise<'answered'>;
  readonly #input: Input;
  readonly #finish: (end: 'answered') => void;
  #rest = Buffer.alloc(0);
  #isOpen = false;

  constructor(input: Input) {
    this.#input = input;
    const { promise, resolve } = Promise.withResolvers<'answered'>();
    this.done = promise;
    this.#finish = resolve;
  }

  push(bytes: Buffer, tcp: Socket): void {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    if (this.#isOpen) return this.#readFrames();
    const read = answerIn(this.#rest, this.#input);
    if (!read) return;
    this.answer = read.answer;
    this.#rest = this.#rest.subarray(read.end);
    if (read.answer.status !== 101) return this.#finish('answered');
    this.#isOpen = true;
    for (const frame of this.#input.frames) tcp.write(frame);
    this.#readFrames();
  }

  #readFrames(): void {
    for (let frame = frameIn(this.#rest); frame; frame = frameIn(this.#rest)) {
      this.#rest = this.#rest.subarray(frame.end);
      const { opcode, payload } = frame;
      if (opcode === 8) this.closeCode = payload.length < 2 ? 1005 : payload.readUInt16BE(0);
      if (opcode === 1) this.texts.push(payload.toString('utf8'));
      if (opcode === 8 || (opcode === 1 && this.#isAwaited(this.texts.at(-1) ?? ''))) {
        this.#finish('answered');
      }
    }
  }

  #isAwaited(text: string): boolean {
    const { expect } = this.#input;
    if (expect.by !== 'socket') return false;
    return (expect.pong && text === PONG) || text.startsWith('{"type":"refused"');
  }
}

/** The answer at the start of some bytes, or null when it is not whole. A `100 Continue` is passed over. */
function answerIn(bytes: Buffer, { expect }: Input): { answer: Answer; end: number } | null {
  const head = bytes.indexOf('\r\n\r\n');
  if (head === -1) return null;
  const [first = '', ...lines] = bytes.subarray(0, head).toString('latin1').split('\r\n');
  const status = Number(first.split(' ')[1]);
  const start = head + 4;
  if (status === 100) {
    const after = answerIn(bytes.subarray(start), {
      expect,
      kind: '',
      what: '',
      pieces: [],
      frames: [],
    });
    return after && { ...after, end: after.end + start };
  }
  const headers = new Map(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':');
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()];
    }),
  );
  const hasNoBody = status === 101 || status === 204 || status === 304;
  const isHead = expect.by === 'refusal' && expect.head;
  if (hasNoBody || isHead) return { answer: { status, headers, body: '' }, end: start };
  const body = bodyIn(bytes.subarray(start), headers);
  return body && { answer: { status, headers, body: body.text }, end: start + body.end };
}

function bodyIn(bytes: Buffer, headers: ReadonlyMap<string, string>) {
  if (headers.get('transfer-encoding') === 'chunked') return chunksIn(bytes);
  const length = Number(headers.get('content-length') ?? 0);
  if (bytes.length < length) return null;
  return { text: bytes.subarray(0, length).toString('utf8'), end: length };
}

function chunksIn(bytes: Buffer): { text: string; end: number } | null {
  let [at, text] = [0, ''];
  for (;;) {
    const line = bytes.indexOf('\r\n', at);
    if (line === -1) return null;
    const size = Number.parseInt(bytes.subarray(at, line).toString('latin1'), 16);
    const end = line + 2 + size + 2;
    if (bytes.length < end) return null;
    if (size === 0) return { text, end };
    text += bytes.subarray(line + 2, line + 2 + size).toString('utf8');
    at = end;
  }
}

/** The frame of a server at the start of some bytes, or null when it is not whole. */
function frameIn(bytes: Buffer): { opcode: number; payload: Buffer; end: number } | null {
  if (bytes.length < 2) return null;
  const short = (bytes[1] ?? 0) & 0x7f;
  const start = 2 + (short === 126 ? 2 : short === 127 ? 8 : 0);
  if (bytes.length < start) return null;
  const length =
    short === 126 ? bytes.readUInt16BE(2) : short === 127 ? bytes.readUInt32BE(6) : short;
  const end = start + length;
  if (bytes.length < end) return null;
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload: bytes.subarray(start, end), end };
}
