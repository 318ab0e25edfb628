import { createHash } from 'node:crypto';
import { OWNER_RIGHTS } from '@export-jobs/protocol';
import type { ApiKey } from '@export-jobs/protocol';
import * as v from 'valibot';
import { NOW, reachable } from '../lib/d1.ts';
import { randomId } from '../lib/ids.ts';
import { logError } from '../lib/log.ts';
import { Refusal } from '../lib/respond.ts';
import { sameSecret } from '../lib/tokens.ts';
import type { Call } from './callers.ts';
import { addressOf, count } from './rates.ts';

// Responsible for the API keys of owners: `ejk_<id>_<secret><checksum>`. The checksum lets secret scanners
// tell a key from chance, and lets a mistyped one be refused without asking the database.

const FORM = /^ejk_([0-9a-hjkmnp-tv-z]{12})_([0-9a-hjkmnp-tv-z]{52})([0-9a-f]{8})$/;
/** A revoked key is refused after this time at the latest, ms. */
const REMEMBERED_MS = 30_000;
/** While the database is away, which is when none can be revoked either, a key is believed for longer, ms. */
const OUTAGE_MS = 15 * 60_000;
const MAX_REMEMBERED = 1000;
/** So many keys of a tenant may be valid at a time. */
const MAX_KEYS = 100;

const Row = v.object({
  id: v.string(),
  name: v.string(),
  tenant: v.string(),
  hash: v.string(),
  rights: v.pipe(v.string(), v.parseJson(), v.array(v.picklist(OWNER_RIGHTS))),
  plan: v.string(),
  created_at: v.number(),
  expires_at: v.nullable(v.number()),
  last_used_at: v.nullable(v.number()),
  revoked_at: v.nullable(v.number()),
});
type Row = v.InferOutput<typeof Row>;

/** What a key is made from. */
type NewKey = Pick<ApiKey, 'name' | 'tenant' | 'rights' | 'plan' | 'expires_at'>;

/** Whether a text has the form of a key; such a text is nothing else. */
export const looksLikeKey = (text: string): boolean => text.startsWith('ejk_');

/**
 * Makes a key and keeps its hash. The key itself is in the answer and nowhere else.
 * @throws Refusal `too_many_keys`.
 */
export async function createKey(
  db: D1Database,
  { name, tenant, rights, plan, expires_at }: NewKey,
): Promise<{ key: ApiKey; secret: string }> {
  const id = randomId().slice(0, 12);
  const bare = `ejk_${id}_${randomId()}${randomId()}`;
  const secret = bare + checksum(bare);
  const row = {
    id,
    name,
    tenant,
    hash: sha256(secret),
    rights: JSON.stringify(rights),
    plan,
    created_at: Date.now(),
    expires_at,
    last_used_at: null,
    revoked_at: null,
  };
  const columns = Object.keys(row);
  const insert = `INSERT INTO export_api_keys (${columns.join(', ')})
    SELECT ${columns.map(() => '?').join(', ')}
    WHERE (SELECT count(*) FROM export_api_keys WHERE tenant = ? AND revoked_at IS NULL) < ${MAX_KEYS}
    RETURNING id`;
  const made = await reachable(
    db
      .prepare(insert)
      .bind(...Object.values(row), tenant)
      .first(),
  );
  if (!made) throw new Refusal('too_many_keys', { detail: `At most ${MAX_KEYS} at a time.` });
  return { key: shown(v.parse(Row, row)), secret };
}

/** Every key of a tenant that was not revoked, then the others, each the newest first; 200 at most. */
export async function listKeys(db: D1Database, tenant: string): Promise<ApiKey[]> {
  const sql = `SELECT * FROM export_api_keys WHERE tenant = ?
    ORDER BY revoked_at IS NOT NULL, created_at DESC LIMIT 200`;
  const { results } = await reachable(db.prepare(sql).bind(tenant).all());
  return v.parse(v.array(Row), results).map(shown);
}

/** Revokes a key for good; null when there is no such key. A null tenant fits any. */
export async function revokeKey(
  db: D1Database,
  id: string,
  tenant: string | null,
): Promise<ApiKey | null> {
  const sql = `UPDATE export_api_keys SET revoked_at = coalesce(revoked_at, ${NOW})
    WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2) RETURNING *`;
  const row = await reachable(db.prepare(sql).bind(id, tenant).first());
  remembered(db).delete(id);
  return row ? shown(v.parse(Row, row)) : null;
}

/**
 * The key that a text is, or null when it is none, or no longer.
 * @throws Refusal `database_unavailable`.
 */
export async function keyOf(call: Call, text: string, now: number): Promise<ApiKey | null> {
  const [, id, secret, check] = FORM.exec(text) ?? [];
  if (!id || !secret || check !== checksum(`ejk_${id}_${secret}`)) return null;
  const hash = sha256(text);
  const row = await recall(call, id, now);
  if (!row || !sameSecret(row.hash, hash)) return null;
  const isOver = row.revoked_at !== null || (row.expires_at ?? Infinity) <= now;
  if (isOver) return null;
  if ((row.last_used_at ?? 0) < now - USED_MS) call.later(noteUse(call.env.DB, row, now));
  return shown(row);
}

/** How exactly the last use of a key is known, ms: each note of it is a row written. */
const USED_MS = 60 * 60_000;

async function noteUse(db: D1Database, row: Row, now: number): Promise<void> {
  row.last_used_at = now;
  const sql = 'UPDATE export_api_keys SET last_used_at = ? WHERE id = ?';
  try {
    await db.prepare(sql).bind(now, row.id).run();
  } catch (error) {
    logError('last use', { key: row.id, error: String(error) });
  }
}

interface Remembered {
  readAt: number;
  row: Row;
}
const memories = new WeakMap<D1Database, Map<string, Remembered>>();

function remembered(db: D1Database): Map<string, Remembered> {
  const known = memories.get(db) ?? new Map<string, Remembered>();
  memories.set(db, known);
  return known;
}

/** The row of a key, hardly older than `REMEMBERED_MS` while the database is there. */
async function recall({ env, request }: Call, id: string, now: number): Promise<Row | null> {
  const memory = remembered(env.DB);
  const known = memory.get(id);
  if (known && now < known.readAt + REMEMBERED_MS) return known.row;
  // Keys of the right form are easily made up, and each of these would be a question to the database.
  if (!known) await count(env, 'RATE_LOOKUPS', addressOf(request));
  const sql = 'SELECT * FROM export_api_keys WHERE id = ?';
  try {
    const found = await reachable(env.DB.prepare(sql).bind(id).first());
    memory.delete(id);
    if (!found) return null;
    const row = v.parse(Row, found);
    const [oldest] = memory.keys();
    if (memory.size >= MAX_REMEMBERED && oldest !== undefined) memory.delete(oldest);
    memory.set(id, { readAt: now, row });
    return row;
  } catch (error) {
    if (known && now < known.readAt + OUTAGE_MS) return known.row;
    throw error;
  }
}

function shown({ hash: _hash, ...row }: Row): ApiKey {
  return { ...row, prefix: `ejk_${row.id}` };
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const checksum = (bare: string): string => sha256(bare).slice(0, 8);
