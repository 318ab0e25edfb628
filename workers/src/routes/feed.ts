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

/** For so long viewers are sent where the last one found room, ms: a crowd need not ask at each object that is full. */
const ROOM_MS = 5000;
const MAX_REMEMBERED = 1000;
const rooms = new Map<string, { shard: number; until: number }>();

function roomOf(tenant: string): number {
  const room = rooms.get(tenant);
  if (room && Date.now() < room.until) return room.shard;
  rooms.delete(tenant);
  if (rooms.size > MAX_REMEMBERED) rooms.clear();
  return 0;
}

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
    ...(tag !== null && { tag, bound: '1' }),
    ...(until !== null && { until: `${until}` }),
  };
  return await findRoom(c, tenant, { ...c.req.query(), ...viewer });
}

/** At the first object of the feed that has room. */
async function findRoom(c: Ctx, tenant: string, asked: Record<string, string>): Promise<Response> {
  const url = new URL('/feed', c.req.url);
  const from = roomOf(tenant);
  for (let tried = 0; tried < FEED_SHARDS; tried += 1) {
    const shard = (from + tried) % FEED_SHARDS;
    url.search = new URLSearchParams({ ...asked, shard: `${shard}` }).toString();
    const response = await feedObjectOf(c.env, tenant, shard)?.fetch(new Request(url, c.req.raw));
    // One that is full says so.
    if (!response || response.status === 429) continue;
    if (shard !== from) rooms.set(tenant, { shard, until: Date.now() + ROOM_MS });
    return response;
  }
  return refuse('too_many_viewers');
}

/** `POST /api/feed/tokens`: lets a browser of the owner's watch its feed, or one tag of it, for an hour. */
export async function makeFeedToken(c: Ctx, { tenant, until }: Owner): Promise<Response> {
  const { raw } = c.req;
  // Clients that send nothing say so by a length of 0.
  const isEmpty = raw.body === null || raw.headers.get('content-length') === '0';
  const { tag } = isEmpty ? {} : await readBody(raw, FeedTokenRequest);
  const { SIGNING_KEYS } = settingsOf(c.env);
  const expires_at = sooner(Date.now() + FEED_TOKEN_MS, until);
  const bound = tag === undefined ? {} : { g: tag };
  const feed_token = signToken(SIGNING_KEYS, 'feed', { t: tenant, ...bound, exp: expires_at });
  return json({ feed_token, expires_at }, 201);
}
