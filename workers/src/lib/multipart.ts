import { createHash } from 'node:crypto';
import { MAX_PARTS, PART_BYTES } from '@export-jobs/protocol';
import type { PartList, PartsReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import { reachable } from './d1.ts';
import type { Env, Settings } from './env.ts';
import { storeBody } from './incoming.ts';
import { logError } from './log.ts';
import { reach } from './r2.ts';
import { Refusal } from './respond.ts';
import { presign } from './s3.ts';
import { signToken } from './tokens.ts';

// Responsible for files that go up by parts: uploads of owners and outputs of renderers alike. Where the
// parts go, to R2 itself or through the Worker, is known here and nowhere else.

/** A file that is going up: R2's name of its multipart upload, where it will be, and its bytes. */
export interface Multipart {
  readonly id: string;
  readonly key: string;
  readonly size: number;
}

/** How long a file may take, ms. */
export const MULTIPART_TTL_MS = 24 * 60 * 60_000;
/** How long a part may wait for its first byte, ms. */
const PART_TTL_MS = 10 * 60_000;

const MIB = 1024 ** 2;

/** How a file of so many bytes is cut, or null when it goes in one piece. */
export function cutOf(size: number): { size: number; count: number } | null {
  if (size <= PART_BYTES) return null;
  const least = Math.ceil(size / MAX_PARTS / MIB) * MIB;
  const part = Math.max(PART_BYTES, least);
  return { size: part, count: Math.ceil(size / part) };
}

/**
 * Begins a file.
 * @throws Refusal `storage_unavailable`.
 */
export async function beginMultipart(
  env: Env,
  key: string,
  options: R2MultipartOptions,
  expiresAt: number,
): Promise<string> {
  const { uploadId } = await reach(env.VIDEOS.createMultipartUpload(key, options));
  // Not worth a refusal: what is not in the table is thrown away by R2, a week later.
  await noteMultipart(env.DB, [uploadId, key, expiresAt + PART_TTL_MS]).catch((error: unknown) =>
    logError('multipart', { error: String(error) }),
  );
  return uploadId;
}

async function noteMultipart(db: D1Database, row: readonly [string, string, number]) {
  const sql = 'INSERT INTO export_multiparts (id, key, expires_at) VALUES (?, ?, ?)';
  await db
    .prepare(sql)
    .bind(...row)
    .run();
}

/**
 * Where the next parts go: to R2 itself when its keys are configured, else through the Worker.
 * @throws Refusal `invalid_body` for a part that the file does not have.
 */
export async function mintParts(
  settings: Settings,
  file: Multipart,
  numbers: readonly number[],
): Promise<PartsReply> {
  const expires_at = Date.now() + PART_TTL_MS;
  const parts = numbers.map(async (number) => {
    const part = { ...file, number, size: partSize(file, number) };
    return { number, url: await partUrl(settings, part, expires_at) };
  });
  return { parts: await Promise.all(parts), expires_at };
}

function partSize({ size }: Multipart, number: number): number {
  const cut = cutOf(size) ?? { size, count: 1 };
  if (number > cut.count) {
    const detail = `There are ${cut.count} parts.`;
    throw new Refusal('invalid_body', { errors: [{ pointer: '/numbers', detail }] });
  }
  return Math.min(cut.size, size - (number - 1) * cut.size);
}

async function partUrl(
  { R2_S3, SIGNING_KEYS }: Settings,
  { id, key, number, size }: Multipart & { number: number },
  exp: number,
): Promise<string> {
  if (R2_S3) {
    return presign(R2_S3, {
      method: 'PUT',
      key,
      query: { partNumber: `${number}`, uploadId: id },
      headers: { 'content-length': `${size}` },
      ttlMs: PART_TTL_MS,
    });
  }
  const token = signToken(SIGNING_KEYS, 'part', { k: key, m: id, n: number, s: size, exp });
  return `/api/parts/${number}?token=${token}`;
}

/**
 * Stores a part that comes through the Worker.
 * @param md5 what it must have, in base 64; null when that is not said.
 * @throws Refusal `upload_not_found`, `upload_cut_off`, `checksum_mismatch` or `storage_unavailable`.
 */
export async function storePart(
  bucket: R2Bucket,
  { id, key, number, size }: Multipart & { number: number },
  body: ReadableStream,
  md5: string | null,
): Promise<string> {
  const upload = bucket.resumeMultipartUpload(key, id);
  const hash = createHash('md5');
  const store = (bytes: ReadableStream) => refusing(upload.uploadPart(number, bytes));
  const part = await reach(storeBody(body, size, store, (piece) => hash.update(piece)));
  // Nobody is told the tag of a part that came damaged, so no file can be made of it.
  if (md5 !== null && md5 !== hash.digest('base64')) throw new Refusal('checksum_mismatch');
  return part.etag;
}

/**
 * Puts a file together and looks whether it is the one that was announced. A repeat finds it there.
 * @throws Refusal `upload_mismatch`, `upload_not_found`, `storage_unavailable`, or `exists` when another file
 *   is there.
 */
export async function completeMultipart(
  bucket: R2Bucket,
  { id, key, size }: Multipart,
  { parts, checksum }: { parts: PartList; checksum: string },
  exists: 'upload_exists' | 'output_exists',
): Promise<R2Object> {
  const isWanted = (object: R2Object) => object.size === size && object.etag === checksum;
  const look = async () => {
    const object = await reach(bucket.head(key));
    if (object && !isWanted(object)) throw new Refusal(exists);
    return object;
  };
  const before = await look();
  if (before) return before;
  const listed = parts
    .map(({ number, etag }) => ({ partNumber: number, etag }))
    .toSorted((a, b) => a.partNumber - b.partNumber);
  let made: R2Object;
  try {
    made = await reach(refusing(bucket.resumeMultipartUpload(key, id).complete(listed)));
  } catch (error) {
    // Two that ask at once: one of them makes it, the other finds it made.
    const meanwhile = await look();
    if (meanwhile) return meanwhile;
    throw error;
  }
  if (isWanted(made)) return made;
  await reach(bucket.delete(key));
  throw new Refusal('upload_mismatch', { detail: 'The file is not the one that was announced.' });
}

/** Throws the parts away that are there; those that come later are refused. */
export async function abortMultipart(
  bucket: R2Bucket,
  { id, key }: Omit<Multipart, 'size'>,
): Promise<void> {
  try {
    await bucket.resumeMultipartUpload(key, id).abort();
  } catch (error) {
    if (!isGone(error)) throw error;
  }
}

/** Throws away what was begun and not finished in its time. */
export async function abortStale(env: Env, now: number): Promise<void> {
  const sql = `SELECT id, key FROM export_multiparts WHERE expires_at < ?
    ORDER BY expires_at LIMIT 100`;
  const { results } = await reachable(env.DB.prepare(sql).bind(now).all());
  const stale = v.parse(v.array(v.object({ id: v.string(), key: v.string() })), results);
  const done = await Promise.all(stale.map((row) => isAborted(env.VIDEOS, row)));
  const ids = stale.filter((_, i) => done[i]).map(({ id }) => id);
  if (ids.length === 0) return;
  const remove = 'DELETE FROM export_multiparts WHERE id IN (SELECT value FROM json_each(?))';
  await reachable(env.DB.prepare(remove).bind(JSON.stringify(ids)).run());
}

async function isAborted(bucket: R2Bucket, row: Omit<Multipart, 'size'>): Promise<boolean> {
  try {
    await abortMultipart(bucket, row);
    return true;
  } catch (error) {
    logError('multipart', { error: String(error) });
    return false;
  }
}

/** R2's codes for parts that do not fit, by what was wrong: too small, not there, of different sizes. */
const MISFITS = [10011, 10025, 10048];
const NO_SUCH_UPLOAD = 10024;

const codeOf = (error: unknown): number => Number(/\((\d{5})\)/.exec(String(error))?.[1]);
const isGone = (error: unknown): boolean => codeOf(error) === NO_SUCH_UPLOAD;

/** Turns what R2 says of an upload into what we say. */
async function refusing<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    if (isGone(error)) throw new Refusal('upload_not_found');
    if (MISFITS.includes(codeOf(error))) throw new Refusal('upload_mismatch');
    throw error;
  }
}
