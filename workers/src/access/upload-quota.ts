import * as v from 'valibot';
import { reachable } from '../lib/d1.ts';
import { logError } from '../lib/log.ts';
import { Refusal } from '../lib/respond.ts';

// Responsible for how many bytes an owner may bring in a day, all files together. They count when they are announced,
// whether they come or not: whoever goes on with an upload, or repeats a part of it, announces nothing.

const HOUR_MS = 60 * 60_000;
/** Any 24 hours lie within so many of the clock's. */
const HOURS = 25;
const LAST_HOURS = Array.from({ length: HOURS }, (_, ago) => `?1 - ${ago}`).join(', ');

const Row = v.object({ hour: v.number(), bytes: v.number() });
type Row = v.InferOutput<typeof Row>;

/**
 * Counts a file of `size` bytes, if it fits into the owner's day: by one statement, so that no two fit into the same
 * place.
 * @param limit bytes in a day, no less than `size`; null for as many as one likes.
 * @throws Refusal `upload_limit`.
 */
export async function countUpload(
  db: D1Database,
  { tenant, size, limit }: { tenant: string; size: number; limit: number | null },
  now: number,
): Promise<void> {
  if (limit === null) return;
  const hour = hourOf(now);
  if (await isCounted(db, [hour, tenant, size, limit])) return;
  const sql = `SELECT hour, bytes FROM export_upload_bytes
    WHERE hour IN (${LAST_HOURS}) AND tenant = ?2 ORDER BY hour`;
  const { results } = await reachable(db.prepare(sql).bind(hour, tenant).all());
  const wait = fitsAt(v.parse(v.array(Row), results), size, limit) - now;
  const headers = { 'retry-after': `${Math.max(1, Math.ceil(wait / 1000))}` };
  throw new Refusal('upload_limit', { detail: `At most ${limit} bytes.` }, headers);
}

/** Takes a file back that cannot have come, because the store was away. If D1 is too, it stays counted. */
export async function uncountUpload(
  db: D1Database,
  { tenant, size, limit }: { tenant: string; size: number; limit: number | null },
  now: number,
): Promise<void> {
  if (limit === null) return;
  const sql = `UPDATE export_upload_bytes SET bytes = max(0, bytes - ?) WHERE hour = ? AND tenant = ?`;
  try {
    await db.prepare(sql).bind(size, hourOf(now), tenant).run();
  } catch (error) {
    logError('upload quota', { error: String(error) });
  }
}

/** Without D1 nothing is counted: a limit against years of filling must not stop uploads for an hour. */
async function isCounted(
  db: D1Database,
  row: readonly [hour: number, tenant: string, size: number, limit: number],
): Promise<boolean> {
  const sql = `INSERT INTO export_upload_bytes (hour, tenant, bytes)
    SELECT ?1, ?2, ?3 WHERE ?3 + coalesce((SELECT sum(bytes) FROM export_upload_bytes
      WHERE hour IN (${LAST_HOURS}) AND tenant = ?2), 0) <= ?4
    ON CONFLICT (hour, tenant) DO UPDATE SET bytes = bytes + excluded.bytes
    RETURNING hour`;
  try {
    const { results } = await db
      .prepare(sql)
      .bind(...row)
      .all();
    return results.length > 0;
  } catch (error) {
    logError('upload quota', { error: String(error) });
    return true;
  }
}

/** When enough hours, oldest first, are no longer among the last ones; epoch ms. */
function fitsAt(rows: readonly Row[], size: number, limit: number): number {
  let total = rows.reduce((sum, { bytes }) => sum + bytes, size);
  for (const { hour, bytes } of rows) {
    total -= bytes;
    if (total <= limit) return (hour + HOURS) * HOUR_MS;
  }
  // Only what was counted a moment ago can have vanished meanwhile.
  return 0;
}

/** Forgets what no longer counts. */
export async function forgetUploads(db: D1Database, now: number): Promise<void> {
  const sql = 'DELETE FROM export_upload_bytes WHERE hour <= ?';
  await db
    .prepare(sql)
    .bind(hourOf(now) - HOURS)
    .run();
}

const hourOf = (now: number): number => Math.floor(now / HOUR_MS);
