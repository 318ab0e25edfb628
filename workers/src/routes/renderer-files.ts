import { storeBody } from '../lib/incoming.ts';
import { objectOf } from '../lib/object.ts';
import { parseManifest, storedWith } from '../lib/outputs.ts';
import { reach, serveObject } from '../lib/r2.ts';
import { Refusal, json } from '../lib/respond.ts';
import type { Renderer } from '../lib/types.ts';
import type { Ctx } from './context.ts';
import { contentLength } from './uploads.ts';

type Attempt = NonNullable<Renderer>;

/** `GET /api/jobs/:id/source`: the input, for the renderer of the current attempt. */
export async function readSource(c: Ctx, id: string, attempt: Attempt): Promise<Response> {
  const files = await objectOf(c.env, id).files(attempt, null);
  if (!files.ok) throw new Refusal(files.code, files.extra);
  return serveObject(c.env.VIDEOS, files.body.source.key, c.req.raw);
}

/**
 * `PUT /api/jobs/:id/output/:epoch`: the rendered file, from the owner of that epoch. R2 compares the
 * checksum, and writes a key only once, so that a renderer that was fenced off replaces nothing.
 */
export async function writeOutput(c: Ctx, id: string, attempt: Attempt): Promise<Response> {
  const epoch = epochOf(c);
  const header = c.req.header('x-export-manifest') ?? '';
  const manifest = parseManifest(header);
  if (manifest?.size !== contentLength(c.req.raw)) {
    throw new Refusal('upload_mismatch', { detail: 'X-Export-Manifest does not fit the body.' });
  }
  const files = await objectOf(c.env, id).files(attempt, epoch);
  if (!files.ok) throw new Refusal(files.code, files.extra);
  const { output } = files.body;
  const { key } = output;
  const { body } = c.req.raw;
  if (!body) throw new Refusal('upload_mismatch');
  const options = {
    ...storedWith(output, manifest, null),
    onlyIf: { etagDoesNotMatch: '*' },
    sha256: manifest.sha256,
  };
  const store = (bytes: ReadableStream) => put(c.env.VIDEOS, key, bytes, options);
  const object = await reach(storeBody(body, manifest.size, store));
  if (!object) throw new Refusal('output_exists');
  return json({ key, size: object.size, etag: object.etag });
}

/** Which owner of the attempt the path speaks of. */
export function epochOf(c: Ctx): number {
  const epoch = c.req.param('epoch') ?? '';
  if (!/^[1-9]\d{0,14}$/.test(epoch)) throw new Refusal('not_found');
  return Number(epoch);
}

async function put(
  bucket: R2Bucket,
  key: string,
  body: ReadableStream,
  options: R2PutOptions & { onlyIf: R2Conditional },
): Promise<R2Object | null> {
  try {
    return await bucket.put(key, body, options);
  } catch (error) {
    // R2's code for a checksum that does not fit the bytes.
    if (/\(10037\)|checksum|hash/i.test(String(error))) throw new Refusal('upload_mismatch');
    throw error;
  }
}
