// Responsible for the bytes of WebSocket frames (RFC 6455), as far as a bench meets them. A library would
// cost the client several times more for each message, on the cores that the server is measured on.

const FIN = 0x80;
const MASKED = 0x80;
const OPCODE = 0x0f;
const LENGTH = 0x7f;
const TEXT = 0x1;
const CLOSE = 0x8;

/** A text of ASCII as a client's frame. The mask is zero: nothing on loopback could be misled by the bytes. */
export function textFrame(text: string): Buffer {
  return frame(TEXT, text);
}

/** Says goodbye. */
export function closeFrame(): Buffer {
  return frame(CLOSE, '');
}

function frame(opcode: number, text: string): Buffer {
  const { length } = text;
  const isShort = length < 126;
  if (length > 0xffff) throw new Error('a bench sends no frame of this size');
  const head = isShort ? 6 : 8;
  const bytes = Buffer.alloc(head + length);
  bytes[0] = FIN | opcode;
  bytes[1] = MASKED | (isShort ? length : 126);
  if (!isShort) bytes.writeUInt16BE(length, 2);
  bytes.write(text, head, 'latin1');
  return bytes;
}

/** Cuts a server's stream into messages. */
export class FrameReader {
  readonly #onText: (text: string) => void;
  #rest: Buffer | undefined;

  constructor(onText: (text: string) => void) {
    this.#onText = onText;
  }

  /** Takes bytes, of which nothing is kept but the start of a frame that is not whole. */
  feed(chunk: Buffer): void {
    const bytes = this.#rest ? Buffer.concat([this.#rest, chunk]) : chunk;
    this.#rest = undefined;
    let at = 0;
    while (at < bytes.length) {
      const end = this.#readOne(bytes, at);
      if (end === null) break;
      at = end;
    }
    // A copy, because whoever reads may read into the same bytes again.
    if (at < bytes.length) this.#rest = Buffer.from(bytes.subarray(at));
  }

  /** Returns where the frame ends; null when it is not all there. */
  #readOne(bytes: Buffer, at: number): number | null {
    const first = bytes[at];
    const second = bytes[at + 1];
    if (first === undefined || second === undefined) return null;
    if ((first & FIN) === 0) throw new Error('the server sent a message in parts');
    const { start, length } = payloadOf(bytes, at, second & LENGTH);
    const end = start + length;
    if (end > bytes.length) return null;
    if ((first & OPCODE) === TEXT) this.#onText(bytes.toString('latin1', start, end));
    return end;
  }
}

/** Where the payload starts and how long it is; beyond the bytes when these do not say it yet. */
function payloadOf(bytes: Buffer, at: number, short: number) {
  if (short < 126) return { start: at + 2, length: short };
  const start = at + (short === 126 ? 4 : 10);
  if (bytes.length < start) return { start, length: 1 };
  const length = short === 126 ? bytes.readUInt16BE(at + 2) : Number(bytes.readBigUInt64BE(at + 2));
  return { start, length };
}
