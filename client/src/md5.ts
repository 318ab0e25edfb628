// MD5 (RFC 1321), which browsers do not have: R2 checks the parts of a file by nothing else. It guards
// against accidents, not against people, who could only harm their own file.

const SINES = Int32Array.from({ length: 64 }, (_, i) =>
  Math.floor(Math.abs(Math.sin(i + 1)) * 2 ** 32),
);

const turn = (sum: number, by: number): number => (sum << by) | (sum >>> (32 - by));

/** The MD5 of bytes that come piece by piece. */
export class Md5 {
  #a = 0x67452301;
  #b = 0xefcdab89 | 0;
  #c = 0x98badcfe | 0;
  #d = 0x10325476;
  readonly #block = new Uint8Array(64);
  readonly #words = new Int32Array(16);
  #size = 0;

  update(bytes: Uint8Array): this {
    const held = this.#size % 64;
    this.#size += bytes.length;
    let at = 0;
    if (held > 0) {
      at = Math.min(64 - held, bytes.length);
      this.#block.set(bytes.subarray(0, at), held);
      if (held + at < 64) return this;
      this.#mix(new DataView(this.#block.buffer), 0);
    }
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    for (; at + 64 <= bytes.length; at += 64) this.#mix(view, at);
    this.#block.set(bytes.subarray(at));
    return this;
  }

  /** The sixteen bytes; nothing can be added afterwards. */
  digest(): Uint8Array<ArrayBuffer> {
    const bits = this.#size * 8;
    // One bit, zeros up to a whole block, and in its last eight bytes the length.
    const padding = new DataView(new ArrayBuffer(64 - ((this.#size + 8) % 64) + 8));
    padding.setUint8(0, 0x80);
    padding.setUint32(padding.byteLength - 8, bits % 2 ** 32, true);
    padding.setUint32(padding.byteLength - 4, bits / 2 ** 32, true);
    this.update(new Uint8Array(padding.buffer));
    const digest = new DataView(new ArrayBuffer(16));
    [this.#a, this.#b, this.#c, this.#d].forEach((word, i) => digest.setInt32(i * 4, word, true));
    return new Uint8Array(digest.buffer);
  }

  #mix(view: DataView, at: number): void {
    const words = this.#words;
    for (let i = 0; i < 16; i += 1) words[i] = view.getInt32(at + i * 4, true);
    const plus = (i: number, word: number) => ((SINES[i] ?? 0) + (words[word & 15] ?? 0)) | 0;
    let a = this.#a;
    let b = this.#b;
    let c = this.#c;
    let d = this.#d;
    for (let i = 0; i < 16; i += 4) {
      a = (b + turn((a + (d ^ (b & (c ^ d))) + plus(i, i)) | 0, 7)) | 0;
      d = (a + turn((d + (c ^ (a & (b ^ c))) + plus(i + 1, i + 1)) | 0, 12)) | 0;
      c = (d + turn((c + (b ^ (d & (a ^ b))) + plus(i + 2, i + 2)) | 0, 17)) | 0;
      b = (c + turn((b + (a ^ (c & (d ^ a))) + plus(i + 3, i + 3)) | 0, 22)) | 0;
    }
    for (let i = 16; i < 32; i += 4) {
      a = (b + turn((a + (c ^ (d & (b ^ c))) + plus(i, 5 * i + 1)) | 0, 5)) | 0;
      d = (a + turn((d + (b ^ (c & (a ^ b))) + plus(i + 1, 5 * i + 6)) | 0, 9)) | 0;
      c = (d + turn((c + (a ^ (b & (d ^ a))) + plus(i + 2, 5 * i + 11)) | 0, 14)) | 0;
      b = (c + turn((b + (d ^ (a & (c ^ d))) + plus(i + 3, 5 * i)) | 0, 20)) | 0;
    }
    for (let i = 32; i < 48; i += 4) {
      a = (b + turn((a + (b ^ c ^ d) + plus(i, 3 * i + 5)) | 0, 4)) | 0;
      d = (a + turn((d + (a ^ b ^ c) + plus(i + 1, 3 * i + 8)) | 0, 11)) | 0;
      c = (d + turn((c + (d ^ a ^ b) + plus(i + 2, 3 * i + 11)) | 0, 16)) | 0;
      b = (c + turn((b + (c ^ d ^ a) + plus(i + 3, 3 * i + 14)) | 0, 23)) | 0;
    }
    for (let i = 48; i < 64; i += 4) {
      a = (b + turn((a + (c ^ (b | ~d)) + plus(i, 7 * i)) | 0, 6)) | 0;
      d = (a + turn((d + (b ^ (a | ~c)) + plus(i + 1, 7 * i + 7)) | 0, 10)) | 0;
      c = (d + turn((c + (a ^ (d | ~b)) + plus(i + 2, 7 * i + 14)) | 0, 15)) | 0;
      b = (c + turn((b + (d ^ (c | ~a)) + plus(i + 3, 7 * i + 21)) | 0, 21)) | 0;
    }
    this.#a = (this.#a + a) | 0;
    this.#b = (this.#b + b) | 0;
    this.#c = (this.#c + c) | 0;
    this.#d = (this.#d + d) | 0;
  }
}

/** The MD5 of a blob, piece by piece, so that a page can breathe between them. */
export async function md5Of(blob: Blob): Promise<Uint8Array<ArrayBuffer>> {
  const hash = new Md5();
  const reader = blob.stream().getReader();
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return hash.digest();
    hash.update(value);
  }
}
