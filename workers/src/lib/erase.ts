import * as v from 'valibot';
import { NOW, reachable } from './d1.ts';
import type { Env } from './env.ts';
import { outputsOf, reach } from './r2.ts';

// Responsible for what there is of an ended job outside its object: its row in D1, and its files.

/**
 * How long the row of a deleted job stays, ms: it keeps its id from being used again while a repeat may still
 * come, counts as one of the jobs of its day, and has the files thrown away that came late.
 */
const TOMBSTONE_MS = 24 * 60 * 60_000;
/** When the sweep looks whether an object has carried its deletion through, ms. */
const LOOK_MS = 2 * 60_000;
/** Higher than the number of any event, so that no late word of the object is written over it. */
const LAST_REV = Number.MAX_SAFE_INTEGER;

interface Deleted {
  readonly id: string;
  readonly tenant: string;
}

const Row = v.object({ status: v.string(), completed_at: v.nullable(v.number()) });

/**
 * Makes D1 forget an ended job but for a bare row, and throws its files away: in this order, so that nobody sees
 * it even while R2 is away. Its input stays, for other jobs may be made from it. A repeat throws away what is left.
 * @param given `hasEnded` when its object says so, though D1 may not have heard.
 * @returns whether D1 knows such a job.
 * @throws Refusal `database_unavailable` or `storage_unavailable`.
 */
export async function eraseJob(
  { DB, VIDEOS }: Env,
  job: Deleted,
  { hasEnded }: { hasEnded: boolean },
): Promise<boolean> {
  const found = await reachable(
    DB.prepare('SELECT status, completed_at FROM export_jobs WHERE id = ? AND tenant = ?')
      .bind(job.id, job.tenant)
      .first(),
  );
  const row = v.parse(v.nullable(Row), found);
  if (!row || !(hasEnded || row.completed_at !== null)) return false;
  const forgetAt = Date.now() + (hasEnded ? LOOK_MS : TOMBSTONE_MS);
  if (row.status !== 'deleted') await reachable(DB.batch(bury(DB, job, forgetAt)));
  await eraseFiles(VIDEOS, job);
  return true;
}

/** Leaves nothing of a job but that it was. */
function bury(db: D1Database, { id }: Deleted, forgetAt: number): D1PreparedStatement[] {
  const tags = db
    .prepare(
      `DELETE FROM export_job_tags WHERE (tenant, tag, created_at, id) IN (
         SELECT j.tenant, t.value, j.created_at, j.id
         FROM export_jobs j, json_each(j.view, '$.tags') t WHERE j.id = ?)`,
    )
    .bind(id);
  const row = db
    .prepare(
      `UPDATE export_jobs SET status = 'deleted', rev = ?, error = NULL, output_video_key = NULL,
         request = NULL, cost_usd = NULL, view = NULL, log = NULL, look_at = NULL,
         completed_at = coalesce(completed_at, ${NOW}), deadline_at = ?, written_at = ${NOW}
       WHERE id = ?`,
    )
    .bind(LAST_REV, forgetAt, id);
  return [tags, row];
}

/** Says when the sweep looks at a deleted job again, epoch ms: by default when its row may go. */
export async function forgetLater(
  db: D1Database,
  { id }: Pick<Deleted, 'id'>,
  at: number = Date.now() + TOMBSTONE_MS,
): Promise<void> {
  const sql = `UPDATE export_jobs SET deadline_at = ? WHERE id = ? AND status = 'deleted'`;
  await reachable(db.prepare(sql).bind(at, id).run());
}

/** Once its time is over: also what a renderer that was fenced off was still sending when it was deleted. */
export async function forgetDeleted({ DB, VIDEOS }: Env, job: Deleted): Promise<void> {
  await eraseFiles(VIDEOS, job);
  await reachable(DB.prepare('DELETE FROM export_jobs WHERE id = ?').bind(job.id).run());
}

async function eraseFiles(bucket: R2Bucket, { tenant, id }: Deleted): Promise<void> {
  const prefix = outputsOf(tenant, id);
  for (let isMore = true; isMore;) {
    const { objects, truncated } = await reach(bucket.list({ prefix }));
    if (objects.length > 0) await reach(bucket.delete(objects.map(({ key }) => key)));
    isMore = truncated;
  }
}
