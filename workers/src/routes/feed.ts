import { FeedQuery } from '@export-jobs/protocol';
import { checkOrigin, feedOf, ownerOf } from '../lib/auth.ts';
import { parseOr } from '../lib/body.ts';
import { NotConfigured, settingsOf } from '../lib/env.ts';
import { Refusal, json } from '../lib/respond.ts';
import { signToken } from '../lib/tokens.ts';
import type { Ctx } from './context.ts';

const FEED_TOKEN_MS = 60 * 60_000;

/** `GET /api/feed?tag=&status=&since=`: all jobs of an owner on one socket. */
export async function watchFeed(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  checkOrigin(c.req.raw, settings);
  const tenant = feedOf(c.req.raw, settings);
  parseOr('invalid_query', FeedQuery, c.req.query());
  // Last, because a browser hides why an upgrade was refused: the same as a plain GET tells.
  if (c.req.header('upgrade')?.toLowerCase() !== 'websocket') throw new Refusal('upgrade_required');
  if (!c.env.EXPORT_FEED)
    throw new NotConfigured('the configuration needs the binding EXPORT_FEED');
  const url = new URL('/feed', c.req.url);
  url.search = new URLSearchParams({ ...c.req.query(), tenant }).toString();
  return c.env.EXPORT_FEED.getByName(tenant).fetch(new Request(url, c.req.raw));
}

/** `POST /api/feed/tokens`: lets a browser of the owner's watch its feed for an hour. */
export function makeFeedToken(c: Ctx): Response {
  const settings = settingsOf(c.env);
  const t = ownerOf(c.req.raw, settings);
  const expires_at = Date.now() + FEED_TOKEN_MS;
  const feed_token = signToken(settings.SIGNING_KEYS, 'feed', { t, exp: expires_at });
  return json({ feed_token, expires_at }, 201);
}
