import { FeedQuery } from '@export-jobs/protocol';
import { sooner } from '../access/callers.ts';
import type { FeedViewer, Owner } from '../access/callers.ts';
import { parseOr } from '../lib/body.ts';
import { NotConfigured, settingsOf } from '../lib/env.ts';
import { Refusal, json } from '../lib/respond.ts';
import { signToken } from '../lib/tokens.ts';
import type { Ctx } from './context.ts';
import { isUpgrade } from './entrances.ts';

const FEED_TOKEN_MS = 60 * 60_000;

/** `GET /api/feed?tag=&status=&since=`: all jobs of an owner on one socket. */
export async function watchFeed(c: Ctx, { tenant, until }: FeedViewer): Promise<Response> {
  parseOr('invalid_query', FeedQuery, c.req.query());
  // Last, because a browser hides why an upgrade was refused: the same as a plain GET tells.
  if (!isUpgrade(c)) throw new Refusal('upgrade_required');
  if (!c.env.EXPORT_FEED)
    throw new NotConfigured('the configuration needs the binding EXPORT_FEED');
  const url = new URL('/feed', c.req.url);
  const viewer = { tenant, ...(until !== null && { until: `${until}` }) };
  url.search = new URLSearchParams({ ...c.req.query(), ...viewer }).toString();
  return c.env.EXPORT_FEED.getByName(tenant).fetch(new Request(url, c.req.raw));
}

/** `POST /api/feed/tokens`: lets a browser of the owner's watch its feed for an hour. */
export function makeFeedToken(c: Ctx, { tenant, until }: Owner): Response {
  const { SIGNING_KEYS } = settingsOf(c.env);
  const expires_at = sooner(Date.now() + FEED_TOKEN_MS, until);
  const feed_token = signToken(SIGNING_KEYS, 'feed', { t: tenant, exp: expires_at });
  return json({ feed_token, expires_at }, 201);
}
