import type { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { DAY_MS, quotaRefusal } from '../access/quota.ts';
import type { Bounds } from '../access/quota.ts';
import type { JobRequest } from '../job/job.ts';
import { LIVE_LOOK_MS } from '../job/schedule.ts';
import { NOW, reachable } from './d1.ts';

// Responsible for what D1 knows of a job before its object does: an id, what was asked for, and that there
// may be one more.

interface Intent {
  id: string;
  tenant: string;
  request: JobRequest;
  requestHash: string;
  /** What the job looks like until its object has more to say. */
  view: ExportJob;
}

/** What D1 knows of a job: `rev` is 0 until its object has written of it. */
export interface Known {
  rev: number;
  requestHash: string;
}

/** What is known of a job under this id, or null. */
export async function knownJob(db: D1Database, id: string): Promise<Known | null> {
  const row = await reachable(
    db.prepare('SELECT rev, request_hash FROM export_jobs WHERE id = ?').bind(id).first(),
  );
  if (!row) return null;
  const { rev, request_hash } = v.parse(
    v.object({ rev: v.number(), request_hash: v.string() }),
    row,
  );
  return { rev, requestHash: request_hash };
}

/**
 * Records that a job is about to be made (rev 0); a repeat changes nothing.
 * @throws Refusal `too_many_jobs` or `daily_limit`.
 */
export async function insertIntent(db: D1Database, intent: Intent, bounds: Bounds): Promise<void> {
  const { id, tenant, request, requestHash, view } = intent;
  const now = view.created_at;
  const insert = db
    .prepare(
      `INSERT INTO export_jobs (id, tenant, rev, status, progress, created_at, updated_at,
         deadline_at, look_at, request_hash, request, view, written_at)
       SELECT ?1, ?2, 0, 'pending', 0, ?3, ?3, ?4, ?5, ?6, ?7, ?8, ${NOW}
       WHERE (SELECT count(*) FROM (SELECT 1 FROM export_jobs
           WHERE status IN ('pending', 'processing') AND tenant = ?2 LIMIT ?9)) < ?9
         AND (SELECT count(*) FROM (SELECT 1 FROM export_jobs
           WHERE tenant = ?2 AND created_at > ?3 - ${DAY_MS} LIMIT ?10)) < ?10
       ON CONFLICT (id) DO NOTHING RETURNING id`,
    )
    .bind(
      id,
      tenant,
      now,
      now + bounds.lifeMs,
      now + LIVE_LOOK_MS,
      requestHash,
      JSON.stringify(request),
      JSON.stringify(view),
      bounds.max_live_jobs,
      bounds.max_jobs_per_day,
    );
  const { tags } = request;
  // With the time of the row, whoever wrote that, so that a repeat labels nothing twice.
  const label = db
    .prepare(
      `INSERT INTO export_job_tags (tenant, tag, created_at, id)
       SELECT j.tenant, t.value, j.created_at, j.id FROM export_jobs j, json_each(?) t
       WHERE j.id = ? AND j.request_hash = ?
       ON CONFLICT DO NOTHING`,
    )
    .bind(JSON.stringify(tags), id, requestHash);
  const made =
    tags.length === 0
      ? await reachable(insert.all())
      : (await reachable(db.batch([insert, label])))[0];
  if (made?.results.length === 0 && !(await knownJob(db, id))) {
    throw await quotaRefusal(db, tenant, bounds, now);
  }
}
