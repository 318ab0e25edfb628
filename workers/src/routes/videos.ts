import { settingsOf } from '../lib/env.ts';
import { sendToObject, serveObject } from '../lib/r2.ts';
import { Refusal } from '../lib/respond.ts';
import { verifyToken } from '../lib/tokens.ts';
import type { Ctx } from './context.ts';

const PREFIX = '/api/videos/download/';

/**
 * `GET|HEAD /api/videos/download/{encodeURIComponent(key)}?token=`: a file for whoever holds the
 * link: its bytes, or where they are when R2 itself may be asked. In development outputs are also served without a token, as the contract's path says.
 */
export async function downloadVideo(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const url = new URL(c.req.url);
  const key = decodeKey(url.pathname.slice(PREFIX.length));
  const token = url.searchParams.get('token');
  if (token === null) {
    if (settings.DEVELOPMENT !== '1') throw new Refusal('unauthorized');
    if (!key.startsWith('out/')) throw new Refusal('file_not_found');
  } else {
    const link = verifyToken(settings.SIGNING_KEYS, 'download', token, Date.now());
    if (link?.k !== key) throw new Refusal('link_expired');
  }
  const { VIDEOS } = c.env;
  const { R2_S3 } = settings;
  return R2_S3 ? sendToObject(VIDEOS, R2_S3, key, c.req.raw) : serveObject(VIDEOS, key, c.req.raw);
}

/** The key is one segment, so that a slash within it is never a path of its own. */
function decodeKey(segment: string): string {
  try {
    const key = decodeURIComponent(segment);
    if (key !== '' && new TextEncoder().encode(key).length <= 1024) return key;
  } catch {
    // Not an encoded key: refused below like any other unknown one.
  }
  throw new Refusal('file_not_found');
}
