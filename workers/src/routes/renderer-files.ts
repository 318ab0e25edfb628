import { attemptOf, checkJobId } from '../lib/auth.ts';
import { settingsOf } from '../lib/env.ts';
import { objectOf } from '../lib/object.ts';
import { parseManifest } from '../lib/outputs.ts';
import { reach, serveObject } from '../lib/r2.ts';
import { Refusal, json } from '../lib/respond.ts';
import type { Ctx } from './context.ts';
import { contentLength } from './uploads.ts';

/** `GET /api/jobs/:id/source`: the input, for the renderer of the current attempt. */
export async function readSource(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  const attempt = attemptOf(c.req.raw, settings, id);
  const files = await objectOf(c.env, id).files(attempt, null);
  if (!files.ok) throw new Refusal(files.code, files.extra);
  return serveObject(c.env.VIDEOS, files.body.source.key, c.req.raw);
}

/**
 * `PUT /api/jobs/:id/output/:epoch`: the rendered file, from the owner of that epoch. R2 compares the
 * checksum, and writes a key only once, so that a renderer that was fenced off replaces nothing.
 */
export async function writeOutput(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  const attempt = attemptOf(c.req.raw, settings, id);
  const epoch = Number(c.req.param('epoch'));
  if (!Number.isSafeInteger(epoch) || epoch < 1) throw new Refusal('not_found');
  const header = c.req.header('x-export-manifest') ?? '';
  const manifest = parseManifest(header);
  if (manifest?.size !== contentLength(c.req.raw)) {
    throw new Refusal('upload_mismatch', { detail: 'X-Export-Manifest does not fit the body.' });
  }
  const files = await objectOf(c.env, id).files(attempt, epoch);
  if (!files.ok) throw new Refusal(files.code, files.extra);
  const { key, contentType, filename } = files.body.output;
  const object = await reach(
    put(c.env.VIDEOS, key, c.req.raw.body, {
      onlyIf: { etagDoesNotMatch: '*' },
      sha256: manifest.sha256,
      httpMetadata: { contentType },
      customMetadata: { filename, manifest: header },
    }),
  );
  if (!object) throw new Refusal('output_exists');
  return json({ key, size: object.size, etag: object.etag });
}

async function put(
  bucket: R2Bucket,
  key: string,
  body: ReadableStream | null,
  options: R2PutOptions & { onlyIf: R2Conditional },
): Promise<R2Object | null> {
  try {
    return await bucket.put(key, body ?? '', options);
  } catch (error) {
    // R2's code for a checksum that does not fit the bytes.
    if (/\(10037\)|checksum|hash/i.test(String(error))) throw new Refusal('upload_mismatch');
    throw error;
  }
}
