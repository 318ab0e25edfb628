import { FeedQuery, FeedTokenRequest } from '@export-jobs/protocol';
import { sooner } from '../access/callers.ts';
import type { FeedViewer, Owner } from '../access/callers.ts';
import { parseOr, readBody } from '../lib/body.ts';
import { NotConfigured, settingsOf } from '../lib/env.ts';
import { FEED_SHARDS, feedObjectOf } from '../lib/object.ts';
import { Refusal, json, refuse } from '../lib/respond.ts';
import { signToken } from '../lib/tokens.ts';
import type { Ctx } from './context.ts';
import { isUpgrade } from './entrances.ts';

const FEED_TOKEN_MS = 60 * 60_000;

/** `GET /api/feed?tag=&status=&since=`: all jobs of an owner on one socket. */
export async function watchFeed(c: Ctx, { tenant, tag, until }: FeedViewer): Promise<Response> {
  const query = parseOr('invalid_query', FeedQuery, c.req.query());
  if (tag !== null && query.tag !== undefined && query.tag !== tag) throw new Refusal('forbidden');
  // Last, because a browser hides why an upgrade was refused: the same as a plain GET tells.
  if (!isUpgrade(c)) throw new Refusal('upgrade_required');
  if (!c.env.EXPORT_FEED)
    throw new NotConfigured('the configuration needs the binding EXPORT_FEED');
  const viewer = {
    tenant,
    ...(tag !== null && { tag }),
    ...(until !== null && { until: `${until}` }),
  };
  const url = new URL('/feed', c.req.url);
  for (let shard = 0; shard < FEED_SHARDS; shard += 1) {
    const asked = { ...c.req.query(), ...viewer, shard: `${shard}` };
    url.search = new URLSearchParams(asked).toString();
    const response = await feedObjectOf(c.env, tenant, shard)?.fetch(new Request(url, c.req.raw));
    // One that is full says so; the next may have room.
    if (response && response.status !== 429) return response;
  }
  return refuse('too_many_viewers');
}

/** `POST /api/feed/tokens`: lets a browser of the owner's watch its feed, or one tag of it, for an hour. */
export async function makeFeedToken(c: Ctx, { tenant, until }: Owner): Promise<Response> {
  const { tag } = c.req.raw.body === null ? {} : await readBody(c.req.raw, FeedTokenRequest);
  const { SIGNING_KEYS } = settingsOf(c.env);
  const expires_at = sooner(Date.now() + FEED_TOKEN_MS, until);
  const bound = tag === undefined ? {} : { g: tag };
  const feed_token = signToken(SIGNING_KEYS, 'feed', { t: tenant, ...bound, exp: expires_at });
  return json({ feed_token, expires_at }, 201);
}
