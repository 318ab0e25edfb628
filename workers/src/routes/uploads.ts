import {
  CompleteUploadRequest,
  MAX_UPLOAD_BYTES,
  PartsRequest,
  UploadRequest,
} from '@export-jobs/protocol';
import type { Owner } from '../access/callers.ts';
import { limitsOf } from '../access/plans.ts';
import type { Limits } from '../access/plans.ts';
import { countUpload, uncountUpload } from '../access/upload-quota.ts';
import { MAX_LIST, readBody } from '../lib/body.ts';
import { settingsOf } from '../lib/env.ts';
import { randomId } from '../lib/ids.ts';
import { storeBody } from '../lib/incoming.ts';
import { isAmong, mediaTypeOf } from '../lib/media-type.ts';
import {
  MULTIPART_TTL_MS,
  abortMultipart,
  beginMultipart,
  completeMultipart,
  cutOf,
  mintParts,
  storePart,
} from '../lib/multipart.ts';
import type { Multipart } from '../lib/multipart.ts';
import { inputKey, reach } from '../lib/r2.ts';
import { Refusal, json } from '../lib/respond.ts';
import { cleanText } from '../lib/text.ts';
import { signToken, verifyToken } from '../lib/tokens.ts';
import type { Payload } from '../lib/tokens.ts';
import type { Ctx } from './context.ts';

const PUT_TTL_MS = 60 * 60_000;

/** `POST /api/uploads`: a signed address that takes exactly the announced file, once; by parts when it is large. */
export async function createUpload(c: Ctx, { tenant, plan }: Owner): Promise<Response> {
  const settings = settingsOf(c.env);
  const { filename, size, content_type } = await readBody(c.req.raw, UploadRequest);
  const limits = limitsOf(settings.PLANS, plan);
  checkFile(limits, size, mediaTypeOf(filename, content_type));
  const announced = { tenant, size, limit: limits.max_upload_bytes_per_day };
  const now = Date.now();
  await countUpload(c.env.DB, announced, now);
  const cut = cutOf(size);
  const upload_id = `upl_${randomId()}`;
  const name = safeName(filename);
  const expires_at = now + (cut ? MULTIPART_TTL_MS : PUT_TTL_MS);
  const options = { customMetadata: { filename: name } };
  const begin = async () => {
    try {
      return await beginMultipart(c.env, inputKey(tenant, upload_id), options, expires_at);
    } catch (error) {
      await uncountUpload(c.env.DB, announced, now);
      throw error;
    }
  };
  const m = cut && (await begin());
  const payload = { u: upload_id, t: tenant, n: name, s: size, exp: expires_at };
  const token = signToken(settings.SIGNING_KEYS, 'upload', { ...payload, ...(m && { m }) });
  const url = `/api/uploads/${upload_id}?token=${token}`;
  return json({ upload_id, url, expires_at, ...(cut && { parts: { ...cut, token } }) }, 201);
}

/** @throws Refusal for a file that this plan never takes. */
function checkFile(limits: Limits, size: number, type: string): void {
  const most = Math.min(limits.max_upload_bytes, limits.max_upload_bytes_per_day ?? Infinity);
  if (size > most) throw new Refusal('upload_too_large', { detail: `At most ${most} bytes.` });
  if (!isAmong(type, limits.upload_types)) {
    const detail = `Only ${limits.upload_types.join(', ')}.`;
    throw new Refusal('upload_type_not_allowed', { detail });
  }
}

/** `PUT /api/uploads/:id?token=`: streams the bytes into R2; nothing is stored unless all arrive. */
export async function putUpload(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const token = c.req.query('token') ?? '';
  const upload = verifyToken(settings.SIGNING_KEYS, 'upload', token, Date.now());
  if (!upload || upload.u !== c.req.param('id')) throw new Refusal('link_expired');
  checkLength(c.req.raw, upload.s);
  if (upload.s > MAX_UPLOAD_BYTES) {
    throw new Refusal('body_too_large', { detail: 'A file of this size goes up by parts.' });
  }
  const store = (bytes: ReadableStream | string) =>
    c.env.VIDEOS.put(inputKey(upload.t, upload.u), bytes, {
      onlyIf: { etagDoesNotMatch: '*' },
      customMetadata: { filename: upload.n },
    });
  const { body } = c.req.raw;
  const object = await reach(body ? storeBody(body, upload.s, store) : store(''));
  if (!object) throw new Refusal('upload_exists');
  return json({ upload_id: upload.u, size: object.size, etag: object.etag });
}

/** An upload as its token tells it. */
export type Upload = Payload<'upload'>;

/** `POST /api/uploads/:id/parts`: where the next parts go. */
export async function mintUploadParts(c: Ctx, upload: Upload): Promise<Response> {
  const { numbers } = await readBody(c.req.raw, PartsRequest);
  return json(await mintParts(settingsOf(c.env), multipartOf(upload), numbers));
}

/** `POST /api/uploads/:id/complete`: puts the parts together. Asked again, it answers the same. */
export async function completeUpload(c: Ctx, upload: Upload): Promise<Response> {
  const body = await readBody(c.req.raw, CompleteUploadRequest, MAX_LIST);
  const object = await completeMultipart(c.env.VIDEOS, multipartOf(upload), body, 'upload_exists');
  return json({ upload_id: upload.u, size: object.size, etag: object.etag });
}

/** `DELETE /api/uploads/:id`: throws away the parts of an upload that is not finished. */
export async function abortUpload(c: Ctx, upload: Upload): Promise<Response> {
  await reach(abortMultipart(c.env.VIDEOS, multipartOf(upload)));
  return new Response(null, { status: 204 });
}

function multipartOf({ t, u, s, m }: Upload): Multipart {
  if (m === undefined) throw new Refusal('upload_not_found', { detail: 'It has no parts.' });
  return { id: m, key: inputKey(t, u), size: s };
}

/** `PUT /api/parts/:number?token=`: one part of an upload or an output, where R2 itself is not to be had. */
export async function putPart(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const token = c.req.query('token') ?? '';
  const part = verifyToken(settings.SIGNING_KEYS, 'part', token, Date.now());
  if (!part || `${part.n}` !== c.req.param('number')) throw new Refusal('link_expired');
  checkLength(c.req.raw, part.s);
  if (!c.req.raw.body) throw new Refusal('upload_mismatch');
  const place = { id: part.m, key: part.k, number: part.n, size: part.s };
  const md5 = c.req.header('content-md5') ?? null;
  const etag = await storePart(c.env.VIDEOS, place, c.req.raw.body, md5);
  return json({ number: part.n, etag }, 200, { etag: `"${etag}"` });
}

function checkLength(request: Request, announced: number): void {
  if (contentLength(request) === announced) return;
  throw new Refusal('upload_mismatch', { detail: `Announced were ${announced} bytes.` });
}

/**
 * The announced length of a body.
 * @throws Refusal when there is none, because R2 must know it before the first byte.
 */
export function contentLength(request: Request): number {
  const header = request.headers.get('content-length') ?? '';
  if (!/^\d{1,15}$/.test(header)) throw new Refusal('length_required');
  return Number(header);
}

/** The last part of a path, in printable characters. */
function safeName(filename: string): string {
  return cleanText(filename).split(/[\\/]/).at(-1)?.slice(-200) || 'video';
}
