import {
  OutputCompleteRequest,
  OutputPartsRequest,
  OutputUploadRequest,
} from '@export-jobs/protocol';
import type { Env } from '../lib/env.ts';
import { settingsOf } from '../lib/env.ts';
import { MAX_LIST, readBody } from '../lib/body.ts';
import {
  MULTIPART_TTL_MS,
  beginMultipart,
  completeMultipart,
  mintParts,
} from '../lib/multipart.ts';
import { objectOf } from '../lib/object.ts';
import { storedWith } from '../lib/outputs.ts';
import { reach } from '../lib/r2.ts';
import { Refusal, json } from '../lib/respond.ts';
import { signToken, verifyToken } from '../lib/tokens.ts';
import type { Payload } from '../lib/tokens.ts';
import type { Renderer } from '../lib/types.ts';
import type { Ctx } from './context.ts';
import { epochOf } from './renderer-files.ts';

// A large output, by parts. Each call is fenced: who no longer owns the attempt is given no address, and
// makes no file.

type Attempt = NonNullable<Renderer>;

/** `POST /api/jobs/:id/output/:epoch`: begins the output; its manifest is stored with it from the start. */
export async function beginOutput(c: Ctx, id: string, { attempt }: Attempt): Promise<Response> {
  const epoch = epochOf(c);
  const { manifest, checksum } = await readBody(c.req.raw, OutputUploadRequest);
  const output = await ownOutput(c.env, id, attempt, epoch);
  if (await reach(c.env.VIDEOS.head(output.key))) throw new Refusal('output_exists');
  const expires_at = Date.now() + MULTIPART_TTL_MS;
  const options = storedWith(output, manifest, checksum);
  const m = await beginMultipart(c.env, output.key, options, expires_at);
  const upload = signToken(settingsOf(c.env).SIGNING_KEYS, 'output', {
    j: id,
    a: attempt,
    e: epoch,
    k: output.key,
    m,
    s: manifest.size,
    c: checksum,
    exp: expires_at,
  });
  return json({ upload, expires_at }, 201);
}

/** `POST /api/jobs/:id/output/:epoch/parts`: where the next parts go. */
export async function mintOutputParts(c: Ctx, id: string, from: Attempt): Promise<Response> {
  const { upload, numbers } = await readBody(c.req.raw, OutputPartsRequest);
  const { k: key, m, s: size } = await ownUpload(c, id, from, upload);
  return json(await mintParts(settingsOf(c.env), { id: m, key, size }, numbers));
}

/** `POST /api/jobs/:id/output/:epoch/complete`: puts the parts together. Asked again, it answers the same. */
export async function completeOutput(c: Ctx, id: string, from: Attempt): Promise<Response> {
  const { upload, parts } = await readBody(c.req.raw, OutputCompleteRequest, MAX_LIST);
  const { k: key, m, s: size, c: checksum } = await ownUpload(c, id, from, upload);
  const whole = { parts, checksum };
  const object = await completeMultipart(
    c.env.VIDEOS,
    { id: m, key, size },
    whole,
    'output_exists',
  );
  return json({ key, size: object.size, etag: object.etag });
}

/** The upload that a token names, while its attempt and epoch are the current ones. */
async function ownUpload(
  c: Ctx,
  id: string,
  { attempt }: Attempt,
  token: string,
): Promise<Payload<'output'>> {
  const epoch = epochOf(c);
  const upload = verifyToken(settingsOf(c.env).SIGNING_KEYS, 'output', token, Date.now());
  const isOwn = upload?.j === id && upload.a === attempt && upload.e === epoch;
  if (!isOwn) throw new Refusal('upload_not_found');
  await ownOutput(c.env, id, attempt, epoch);
  return upload;
}

async function ownOutput(env: Env, id: string, attempt: number, epoch: number) {
  const files = await objectOf(env, id).files({ attempt }, epoch);
  if (!files.ok) throw new Refusal(files.code, files.extra);
  return files.body.output;
}
