import { createHash } from 'node:crypto';
import { PART_BYTES, PartsReply, UploadReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import { call, post } from './harness.ts';

// Files that go up by parts, as those who send them see it.

/** Bytes of a film that no player knows, all different enough for parts not to be alike. */
export function film(size: number): Uint8Array {
  const block = new Uint8Array(64 * 1024).map((_, i) => (i * 7 + (i >> 8)) % 251);
  const bytes = new Uint8Array(size);
  for (let at = 0, n = 0; at < size; at += block.length, n += 1) {
    bytes.set(block.subarray(0, size - at), at);
    bytes[at] = n % 256;
  }
  return bytes;
}

export interface Part {
  readonly number: number;
  readonly bytes: Uint8Array;
  readonly md5: string;
}

export function cut(bytes: Uint8Array): Part[] {
  return Array.from({ length: Math.ceil(bytes.length / PART_BYTES) }, (_, i) => {
    const part = bytes.subarray(i * PART_BYTES, (i + 1) * PART_BYTES);
    return { number: i + 1, bytes: part, md5: createHash('md5').update(part).digest('base64') };
  });
}

/** What R2 calls a file of these parts. */
export function checksumOf(parts: readonly Part[]): string {
  const hash = createHash('md5');
  for (const { md5 } of parts) hash.update(md5, 'base64');
  return `${hash.digest('hex')}-${parts.length}`;
}

export type Announced = v.InferOutput<typeof UploadReply> & {
  parts: { size: number; count: number; token: string };
};

export async function announce(size: number, more: object = {}): Promise<Announced> {
  const response = await post('/api/uploads', { filename: 'large.mov', size, ...more });
  if (response.status !== 201) throw new Error(await response.text());
  const { parts, ...reply } = v.parse(UploadReply, await response.json());
  if (!parts) throw new Error('is to go in one piece');
  return { ...reply, parts };
}

export const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** Asks for addresses of parts. */
export function mint({ upload_id, parts: { token } }: Announced, numbers: number[]) {
  return post(`/api/uploads/${upload_id}/parts`, { numbers }, bearer(token));
}

export async function urlsOf(response: Response): Promise<string[]> {
  if (response.status !== 200) throw new Error(await response.text());
  return v.parse(PartsReply, await response.json()).parts.map(({ url }) => url);
}

/** Sends one part to an address. */
export function send(url: string, { bytes, md5 }: Part, headers: Record<string, string> = {}) {
  return call(url, {
    method: 'PUT',
    body: bytes,
    headers: { 'content-length': `${bytes.length}`, 'content-md5': md5, ...headers },
  });
}

/** Sends parts, each to an address of its own. */
export async function sendAll(upload: Announced, parts: readonly Part[]) {
  const urls = await urlsOf(
    await mint(
      upload,
      parts.map(({ number }) => number),
    ),
  );
  return Promise.all(
    parts.map(async (part, i) => {
      const response = await send(urls[i] ?? '', part);
      if (response.status !== 200) throw new Error(await response.text());
      return { number: part.number, etag: (response.headers.get('etag') ?? '').slice(1, -1) };
    }),
  );
}

export function complete(
  { upload_id, parts: { token } }: Announced,
  parts: readonly { number: number; etag: string }[],
  checksum: string,
) {
  return post(`/api/uploads/${upload_id}/complete`, { parts, checksum }, bearer(token));
}
