// Responsible for reading along on a WebSocket: the texts in a stream of frames (RFC 6455). Knows nothing
// of extensions, so nobody may have agreed on any.

const TEXT = 1;

/** Gets every text of one direction, whole frames only. */
export class FrameReader {
  readonly #onText: (text: string) => void;
  #rest = Buffer.alloc(0);

  constructor(onText: (text: string) => void) {
    this.#onText = onText;
  }

  push(chunk: Buffer): void {
    this.#rest = Buffer.concat([this.#rest, chunk]);
    for (let frame = frameAt(this.#rest); frame; frame = frameAt(this.#rest)) {
      this.#rest = this.#rest.subarray(frame.end);
      if (frame.opcode === TEXT) this.#onText(frame.payload.toString('utf8'));
    }
  }
}

/** The frame at the start of some bytes, or null when it is not whole. */
function frameAt(bytes: Buffer): { opcode: number; payload: Buffer; end: number } | null {
  const size = sizeOf(bytes);
  if (!size || bytes.length < size.start + size.length) return null;
  const { start, length, isMasked } = size;
  const end = start + length;
  const payload = Buffer.from(bytes.subarray(start, end));
  if (isMasked) unmask(payload, bytes.subarray(start - 4, start));
  return { opcode: (bytes[0] ?? 0) & 0x0f, payload, end };
}

/** Where the payload of a frame begins, and how long it is; null when that is not there yet. */
function sizeOf(bytes: Buffer): { start: number; length: number; isMasked: boolean } | null {
  if (bytes.length < 2) return null;
  const second = bytes[1] ?? 0;
  const short = second & 0x7f;
  const more = short === 126 ? 2 : short === 127 ? 8 : 0;
  const isMasked = second >= 0x80;
  const start = 2 + more + (isMasked ? 4 : 0);
  if (bytes.length < start) return null;
  if (more === 0) return { start, length: short, isMasked };
  // No text here is longer than four bytes of length can say.
  const length = more === 2 ? bytes.readUInt16BE(2) : bytes.readUInt32BE(6);
  return { start, length, isMasked };
}

function unmask(payload: Buffer, mask: Buffer): void {
  for (const [i, byte] of payload.entries()) payload[i] = byte ^ (mask[i % 4] ?? 0);
}
