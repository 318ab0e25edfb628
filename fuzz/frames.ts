/** How a client's frame departs from a right one: final, masked, without reserved bits, of its own length. */
export interface Departure {
  readonly fin?: boolean;
  readonly masked?: boolean;
  readonly reserved?: number;
  /** What the frame says of its length, bytes. */
  readonly length?: bigint;
}

export const OPCODES = { more: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;

/** The bytes of one frame (RFC 6455, 5.2). The mask is zero, which leaves the payload as it is. */
export function frameOf(
  opcode: number,
  payload: string | Buffer,
  { fin = true, masked = true, reserved = 0, length }: Departure = {},
): Buffer {
  const bytes = Buffer.from(payload);
  const said = length ?? BigInt(bytes.length);
  const first = (fin ? 0x80 : 0) | (reserved << 4) | opcode;
  const mask = masked ? 0x80 : 0;
  const key = Buffer.alloc(masked ? 4 : 0);
  if (said < 126n) return Buffer.concat([Buffer.from([first, mask | Number(said)]), key, bytes]);
  if (said < 65_536n) {
    const short = Buffer.from([first, mask | 126, Number(said >> 8n), Number(said & 0xffn)]);
    return Buffer.concat([short, key, bytes]);
  }
  const long = Buffer.alloc(10);
  long.set([first, mask | 127]);
  long.writeBigUInt64BE(said, 2);
  return Buffer.concat([long, key, bytes]);
}

/** A close frame with a code and a reason. */
export function closeOf(code: number, reason = ''): Buffer {
  const head = Buffer.alloc(2);
  head.writeUInt16BE(code);
  return frameOf(OPCODES.close, Buffer.concat([head, Buffer.from(reason)]));
}
