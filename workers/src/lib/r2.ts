import { CONTENT_TYPE_OF } from '@export-jobs/protocol';
import { logError } from './log.ts';
import { lastByte, rangeOf } from './range.ts';
import { Refusal, refuse } from './respond.ts';
import { presign } from './s3.ts';
import type { R2Keys } from './s3.ts';

const TYPE_OF_EXTENSION: Readonly<Record<string, string>> = CONTENT_TYPE_OF;

/** Where an upload lives. */
export function inputKey(tenant: string, uploadId: string): string {
  return `in/${tenant}/${uploadId}`;
}

/** Whether a key is of somebody's upload, which no output may be. */
export function isInputKey(key: string): boolean {
  return key.startsWith('in/');
}

/** Where one owner of one attempt may write, once. */
export function outputKey(
  owner: { tenant: string; jobId: string; attempt: number; epoch: number },
  container: string,
): string {
  const { tenant, jobId, attempt, epoch } = owner;
  return `${outputsOf(tenant, jobId)}${attempt}/${epoch}/video.${container}`;
}

/** What the keys of all outputs of a job begin with. */
export function outputsOf(tenant: string, jobId: string): string {
  return `out/${tenant}/${jobId}/`;
}

/**
 * Runs an operation on the bucket.
 * @throws Refusal `storage_unavailable` when the bucket cannot be reached.
 */
export async function reach<T>(operation: Promise<T>): Promise<T> {
  try {
    return await operation;
  } catch (error) {
    if (error instanceof Refusal) throw error;
    logError('r2', { error: String(error) });
    throw new Refusal('storage_unavailable');
  }
}

/**
 * Serves an object by GET or HEAD with ranges, ETag and conditions (RFC 9110), as a download that no
 * browser will ever run. The platform's own range handling answers nonsense with the whole object,
 * so it is done here.
 */
export async function serveObject(
  bucket: R2Bucket,
  key: string,
  request: Request,
): Promise<Response> {
  if (isPlain(request)) return serveWhole(bucket, key);
  const head = await reach(bucket.head(key));
  if (!head) return refuse('file_not_found');
  const headers = headersOf(head);
  const early = precondition(request, head, headers);
  if (early) return early;
  headers.set('content-length', `${head.size}`);
  // Ranges are for GET alone.
  if (request.method === 'HEAD' || head.size === 0) return new Response(null, { headers });
  const range = rangeOf(request.headers, head.httpEtag, head.size);
  if (range === 'unsatisfiable') {
    return refuse('range_not_satisfiable', {}, { 'content-range': `bytes */${head.size}` });
  }
  if (range) {
    headers.set('content-length', `${range.length}`);
    headers.set('content-range', `bytes ${range.offset}-${lastByte(range)}/${head.size}`);
  }
  const options = { onlyIf: { etagMatches: head.etag }, ...(range && { range }) };
  const object = await reach(bucket.get(key, options));
  // Replaced between the two reads: saying so beats serving a mixture.
  if (!object || !('body' in object)) return refuse('source_changed');
  return new Response(object.body, { status: range ? 206 : 200, headers });
}

/** How long an address of the bucket may wait to be used, ms: it was asked for to be used at once. */
const DIRECT_TTL_MS = 5 * 60_000;

/**
 * Answers like `serveObject`, but with the bucket's own address in the place of bytes. That is asked with the
 * same range and conditions, by whoever follows.
 */
export async function sendToObject(
  bucket: R2Bucket,
  keys: R2Keys,
  key: string,
  request: Request,
): Promise<Response> {
  const head = await reach(bucket.head(key));
  if (!head) return refuse('file_not_found');
  const headers = headersOf(head);
  const early = precondition(request, head, headers);
  if (early) return early;
  if (request.method === 'HEAD') {
    headers.set('content-length', `${head.size}`);
    return new Response(null, { headers });
  }
  const location = await presign(keys, {
    method: 'GET',
    key,
    query: {
      'response-content-disposition': headers.get('content-disposition') ?? 'attachment',
      'response-content-type': headers.get('content-type') ?? 'application/octet-stream',
      'response-cache-control': 'private, max-age=3600',
    },
    ttlMs: DIRECT_TTL_MS,
  });
  return new Response(null, {
    status: 302,
    headers: { location, 'cache-control': 'no-store', 'referrer-policy': 'no-referrer' },
  });
}

/** Whether the whole object is asked for, or what it was when it was first seen: one read tells all. */
function isPlain({ method, headers }: Request): boolean {
  return (
    method === 'GET' &&
    !headers.has('range') &&
    !headers.has('if-none-match') &&
    !headers.has('if-match')
  );
}

async function serveWhole(bucket: R2Bucket, key: string): Promise<Response> {
  const object = await reach(bucket.get(key));
  if (!object) return refuse('file_not_found');
  const headers = headersOf(object);
  headers.set('content-length', `${object.size}`);
  return new Response(object.size === 0 ? null : object.body, { headers });
}

/** The answer that a condition of the request asks for, or null to go on. */
function precondition(request: Request, object: R2Object, headers: Headers): Response | null {
  const match = request.headers.get('if-match');
  if (match !== null && !listsTag(match, object.httpEtag)) return refuse('source_changed');
  // Only here are weak tags as good as strong ones.
  const noneMatch = request.headers.get('if-none-match')?.replaceAll('W/', '') ?? null;
  if (noneMatch === null || !listsTag(noneMatch, object.httpEtag)) return null;
  return new Response(null, { status: 304, headers });
}

function headersOf(object: R2Object): Headers {
  const extension = object.key.split('.').at(-1) ?? '';
  const name = object.customMetadata?.['filename'] ?? object.key.split('/').at(-1) ?? 'video';
  return new Headers({
    'content-type': TYPE_OF_EXTENSION[extension] ?? 'application/octet-stream',
    'content-disposition': dispositionOf(name),
    etag: object.httpEtag,
    'last-modified': object.uploaded.toUTCString(),
    'accept-ranges': 'bytes',
    'cache-control': 'private, max-age=3600',
    'x-content-type-options': 'nosniff',
    'content-security-policy': "default-src 'none'; sandbox",
    'cross-origin-resource-policy': 'same-site',
  });
}

/** An attachment under a name, in ASCII for old readers and whole for others (RFC 6266, RFC 5987). */
export function dispositionOf(name: string): string {
  const ascii = name.replace(/[^\x20-\x7e]|["\\%]/g, '_');
  const whole = encodeURIComponent(name.toWellFormed()).replace(
    /['()*]/g,
    (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`,
  );
  return `attachment; filename="${ascii}"; filename*=UTF-8''${whole}`;
}

function listsTag(list: string, etag: string): boolean {
  return list === '*' || list.split(',').some((tag) => tag.trim() === etag);
}
