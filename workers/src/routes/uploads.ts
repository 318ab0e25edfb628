import { UploadRequest } from '@export-jobs/protocol';
import { ownerOf } from '../lib/auth.ts';
import { readBody } from '../lib/body.ts';
import { settingsOf } from '../lib/env.ts';
import { randomId } from '../lib/ids.ts';
import { inputKey, reach } from '../lib/r2.ts';
import { Refusal, json } from '../lib/respond.ts';
import { cleanText } from '../lib/text.ts';
import { signToken, verifyToken } from '../lib/tokens.ts';
import type { Ctx } from './context.ts';

const UPLOAD_TTL_MS = 60 * 60_000;

/** `POST /api/uploads`: a signed address that takes exactly the announced file, once. */
export async function createUpload(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const tenant = ownerOf(c.req.raw, settings);
  const { filename, size } = await readBody(c.req.raw, UploadRequest);
  const upload_id = `upl_${randomId()}`;
  const expires_at = Date.now() + UPLOAD_TTL_MS;
  const payload = { u: upload_id, t: tenant, n: safeName(filename), s: size, exp: expires_at };
  const token = signToken(settings.SIGNING_KEYS, 'upload', payload);
  const url = `/api/uploads/${upload_id}?token=${token}`;
  return json({ upload_id, url, expires_at }, 201);
}

/** `PUT /api/uploads/:id?token=`: streams the bytes into R2; nothing is stored unless all arrive. */
export async function putUpload(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const token = c.req.query('token') ?? '';
  const upload = verifyToken(settings.SIGNING_KEYS, 'upload', token, Date.now());
  if (!upload || upload.u !== c.req.param('id')) throw new Refusal('link_expired');
  const length = contentLength(c.req.raw);
  if (length !== upload.s) {
    throw new Refusal('upload_mismatch', { detail: `Announced were ${upload.s} bytes.` });
  }
  const object = await reach(
    c.env.VIDEOS.put(inputKey(upload.t, upload.u), c.req.raw.body ?? '', {
      onlyIf: { etagDoesNotMatch: '*' },
      customMetadata: { filename: upload.n },
    }),
  );
  if (!object) throw new Refusal('upload_exists');
  return json({ upload_id: upload.u, size: object.size, etag: object.etag });
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
