import { NOW, reachable } from './d1.ts';
import type { Env } from './env.ts';
import { outputsOf, reach } from './r2.ts';

// Responsible for what there is of an ended job outside its object: its files, and its row in D1.

/**
 * How long the row of a deleted job stays, ms: it keeps its id from being used again while a repeat may still
 * come, counts as one of the jobs of its day, and has the files thrown away that came late.
 */
const TOMBSTONE_MS = 24 * 60 * 60_000;
/** Higher than the number of any event, so that no late word of the object is written over it. */
const LAST_REV = Number.MAX_SAFE_INTEGER;

interface Deleted {
  readonly id: string;
  readonly tenant: string;
}

/**
 * Throws away the files of an ended job and what D1 knows of it; a repeat finds nothing more to do. Its input
 * stays, for other jobs may be made from it. Returns whether there is such a job.
 * @throws Refusal `storage_unavailable` or `database_unavailable`.
 */
export async function eraseJob({ DB, VIDEOS }: Env, job: Deleted, now: number): Promise<boolean> {
  const { id, tenant } = job;
  const known = await reachable(
    DB.prepare(`SELECT 1 FROM export_jobs WHERE id = ? AND tenant = ? AND completed_at IS NOT NULL`)
      .bind(id, tenant)
      .first(),
  );
  if (!known) return false;
  await eraseFiles(VIDEOS, job);
  const tags = DB.prepare(
    `DELETE FROM export_job_tags WHERE (tenant, tag, created_at, id) IN (
       SELECT j.tenant, t.value, j.created_at, j.id
       FROM export_jobs j, json_each(j.view, '$.tags') t WHERE j.id = ?)`,
  ).bind(id);
  const row = DB.prepare(
    `UPDATE export_jobs SET status = 'deleted', rev = ?, error = NULL, output_video_key = NULL,
       request = NULL, cost_usd = NULL, view = NULL, log = NULL, look_at = ?, written_at = ${NOW}
     WHERE id = ?`,
  ).bind(LAST_REV, now + TOMBSTONE_MS, id);
  await reachable(DB.batch([tags, row]));
  return true;
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
