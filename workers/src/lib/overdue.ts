import * as v from 'valibot';
import { reachable } from './d1.ts';

// Responsible for which jobs somebody should look after whose own alarm may be lost.

const LiveRow = v.object({
  id: v.string(),
  tenant: v.string(),
  request_hash: v.string(),
  request: v.nullable(v.string()),
});
/** A job that has not ended and should be looked at; its request until its object has it for sure. */
export type LiveRow = v.InferOutput<typeof LiveRow>;

/**
 * Jobs that have not ended and were not looked at for a while, those whose object may never have been
 * made first of all. Else in no order, so that none can stand in the way of the others for ever.
 */
export async function liveJobs(db: D1Database, now: number): Promise<LiveRow[]> {
  const { results } = await db
    .prepare(
      `SELECT id, tenant, request_hash, request FROM export_jobs
       WHERE status IN ('pending', 'processing') AND look_at < ?
       ORDER BY request IS NULL, random() LIMIT 100`,
    )
    .bind(now)
    .all();
  return v.parse(v.array(LiveRow), results);
}

/** What there is of a job that has not ended, or null. A null tenant fits any. */
export async function liveJob(
  db: D1Database,
  id: string,
  tenant: string | null,
): Promise<LiveRow | null> {
  const sql = `SELECT id, tenant, request_hash, request FROM export_jobs
    WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2) AND completed_at IS NULL`;
  const row = await reachable(db.prepare(sql).bind(id, tenant).first());
  return row ? v.parse(LiveRow, row) : null;
}

/** Ended jobs whose object should have done by now what it owed; longest due first. */
export async function owingJobs(db: D1Database, now: number): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT id FROM export_jobs WHERE completed_at IS NOT NULL AND look_at < ?
       ORDER BY look_at LIMIT 100`,
    )
    .bind(now)
    .all();
  return v.parse(v.array(v.object({ id: v.string() })), results).map(({ id }) => id);
}

/** Deleted jobs that are due to be forgotten. There may be very many: they stand in nobody's way but their own. */
export async function deletedJobs(
  db: D1Database,
  now: number,
): Promise<{ id: string; tenant: string }[]> {
  const { results } = await db
    .prepare(
      `SELECT id, tenant FROM export_jobs WHERE status = 'deleted' AND deadline_at < ?
       ORDER BY deadline_at LIMIT 100`,
    )
    .bind(now)
    .all();
  return v.parse(v.array(v.object({ id: v.string(), tenant: v.string() })), results);
}

/** Says when the sweeper looks at a job again, epoch ms; null for never. */
export async function lookAgainAt(db: D1Database, id: string, at: number | null): Promise<void> {
  // One that was deleted meanwhile is looked at by other rules.
  const sql = `UPDATE export_jobs SET look_at = ? WHERE id = ? AND status <> 'deleted'`;
  await db.prepare(sql).bind(at, id).run();
}
