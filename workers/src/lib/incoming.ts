import { Refusal } from './respond.ts';

// Responsible for the bytes of a request on their way into the bucket, and for telling apart who failed when not
// all of them get there: who sent them, or R2. A stream that is handed over as it is fails in the same words for
// both, so it is read here; in pieces this large that costs no more than to let the platform do it.

const PIECE_BYTES = 64 * 1024;

/**
 * Has the body of a request stored while it comes; nothing but a piece of it is ever held.
 * @param length its bytes, which R2 must know before the first one.
 * @param onPiece sees each piece as it passes; it must not keep it.
 * @throws Refusal `upload_cut_off` when the sender stopped half-way; whatever `store` throws.
 */
export async function storeBody<T>(
  body: ReadableStream,
  length: number,
  store: (bytes: ReadableStream) => Promise<T>,
  onPiece: (piece: Uint8Array) => void = () => undefined,
): Promise<T> {
  const { readable, writable } = new FixedLengthStream(length);
  const sender = new Sender(body, onPiece);
  // It fails when its reader has failed, who says so itself.
  void sender.sendTo(writable).catch(() => undefined);
  try {
    return await store(readable);
  } catch (error) {
    throw sender.isGone ? new Refusal('upload_cut_off') : error;
  } finally {
    sender.stop();
  }
}

/** Whoever sends a body. */
class Sender {
  readonly #reader: ReadableStreamBYOBReader;
  readonly #onPiece: (piece: Uint8Array) => void;
  /** Whether it stopped half-way. */
  isGone = false;
  #isWanted = true;

  constructor(body: ReadableStream, onPiece: (piece: Uint8Array) => void) {
    this.#reader = body.getReader({ mode: 'byob' });
    // Whoever reads is told by the read itself.
    this.#reader.closed.catch(() => undefined);
    this.#onPiece = onPiece;
  }

  async sendTo(writable: WritableStream): Promise<void> {
    const writer = writable.getWriter();
    let buffer = new ArrayBuffer(PIECE_BYTES);
    for (;;) {
      const piece = await this.#next(buffer);
      if (piece === null) break;
      this.#onPiece(piece);
      await writer.write(piece);
      buffer = piece.buffer;
    }
    // Known before the store can fail for it.
    await (this.isGone ? writer.abort() : writer.close());
  }

  /** Nobody wants what is still to come. */
  stop(): void {
    this.#isWanted = false;
    this.#reader.cancel().catch(() => undefined);
  }

  /**
   * The next piece, in the memory of the one before; null when there is none. Waits until it is whole: what one
   * packet brings is not worth a turn.
   */
  async #next(buffer: ArrayBuffer): Promise<Uint8Array<ArrayBuffer> | null> {
    try {
      const { value } = await this.#reader.readAtLeast(PIECE_BYTES, new Uint8Array(buffer));
      return value && value.byteLength > 0 ? value : null;
    } catch {
      this.isGone = this.#isWanted;
      return null;
    }
  }
}
