import { ExportJob } from '@export-jobs/protocol';
import type { ListQuery } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { JobRequest } from '../job/job.ts';
import { LogEntry, unfold } from '../job/log.ts';
import type { LogLine } from '../job/log.ts';
import { LIVE_LOOK_MS } from '../job/schedule.ts';
import { logError } from './log.ts';
import { Refusal } from './respond.ts';

// Every statement that reads D1 or records an intent. What a job became is written by its outbox.

/** D1's own clock, epoch ms. */
export const NOW = `CAST(unixepoch('subsec') * 1000 AS INTEGER)`;

const View = v.pipe(v.string(), v.parseJson(), ExportJob);
const PageRow = v.object({
  id: v.string(),
  created_at: v.number(),
  view: v.nullable(v.string()),
});
const Log = v.pipe(v.string(), v.parseJson(), v.array(LogEntry));
const LiveRow = v.object({
  id: v.string(),
  tenant: v.string(),
  request_hash: v.string(),
  request: v.nullable(v.string()),
});
/** A job that has not ended and should be looked at; its request until its object has it for sure. */
export type LiveRow = v.InferOutput<typeof LiveRow>;

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

/** How many jobs a tenant may have, and how long one lives at most, ms. */
interface Bounds {
  max_live_jobs: number;
  max_jobs_per_day: number;
  lifeMs: number;
}
const DAY_MS = 24 * 60 * 60_000;
/** When a job of many may have ended, ms. */
const LIVE_RETRY_MS = 30_000;

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

/** Which of the two limits it is, and when it is worth trying again. Reads as many rows as there may be jobs. */
async function quotaRefusal(
  db: D1Database,
  tenant: string,
  { max_live_jobs, max_jobs_per_day }: Bounds,
  now: number,
): Promise<Refusal> {
  // The job that must leave the last 24 hours before another one fits in.
  const sql = `SELECT created_at FROM export_jobs WHERE tenant = ? AND created_at > ?
    ORDER BY created_at DESC LIMIT 1 OFFSET ?`;
  const offset = Math.max(0, max_jobs_per_day - 1);
  const last = await reachable(
    db
      .prepare(sql)
      .bind(tenant, now - DAY_MS, offset)
      .first<number>('created_at'),
  );
  const isDaily = max_jobs_per_day === 0 || last !== null;
  const waitMs = isDaily ? (last ?? now) + DAY_MS - now : LIVE_RETRY_MS;
  const [code, limit] = isDaily
    ? (['daily_limit', max_jobs_per_day] as const)
    : (['too_many_jobs', max_live_jobs] as const);
  const headers = { 'retry-after': `${Math.max(1, Math.ceil(waitMs / 1000))}` };
  return new Refusal(code, { detail: `At most ${limit}.` }, headers);
}

/** The last known view of a job whose object may be gone. A null tenant fits any. */
export async function archivedJob(
  db: D1Database,
  id: string,
  tenant: string | null,
): Promise<ExportJob | null> {
  const row = await reachable(
    db
      .prepare(
        `SELECT view FROM export_jobs WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)
           AND view IS NOT NULL`,
      )
      .bind(id, tenant)
      .first(),
  );
  if (!row) return null;
  return readable(id, v.parse(v.object({ view: v.string() }), row).view)[0] ?? null;
}

/** Every change of a job that has ended, in order; null when there is no log. A null tenant fits any. */
export async function archivedEvents(
  db: D1Database,
  id: string,
  tenant: string | null,
): Promise<LogLine[] | null> {
  const sql = `SELECT log FROM export_jobs WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2)
    AND log IS NOT NULL`;
  const row = await reachable(db.prepare(sql).bind(id, tenant).first());
  return row ? unfold(v.parse(v.object({ log: Log }), row).log) : null;
}

/**
 * One page of a tenant's jobs, newest first.
 * @throws Refusal `invalid_query` for a cursor that is not one of ours.
 */
export async function listPage(
  db: D1Database,
  tenant: string,
  { status, tag, limit, cursor }: ListQuery,
): Promise<{ data: ExportJob[]; next_cursor: string | null }> {
  // Only what is asked for, in so many words: no index serves `? IS NULL OR status = ?`.
  const conditions = ['tenant = ?'];
  const values: (string | number)[] = [tenant];
  const only = (condition: string, ...bound: (string | number)[]) => {
    conditions.push(condition);
    values.push(...bound);
  };
  if (status !== undefined) only('status = ?', status);
  if (tag !== undefined) only('tag = ?', tag);
  if (cursor !== undefined) {
    const { createdAt, id } = decodeCursor(cursor);
    only('(created_at, id) < (?, ?)', createdAt, id);
  }
  const order = `WHERE ${conditions.join(' AND ')} ORDER BY created_at DESC, id DESC LIMIT ?`;
  const query =
    tag === undefined
      ? `SELECT id, created_at, view FROM export_jobs ${order}`
      : `SELECT t.id, t.created_at, j.view FROM (SELECT id, created_at FROM export_job_tags ${order}) t
         CROSS JOIN export_jobs j ON j.id = t.id ORDER BY t.created_at DESC, t.id DESC`;
  const { results } = await reachable(
    db
      .prepare(query)
      .bind(...values, limit + 1)
      .all(),
  );
  const rows = v.parse(v.array(PageRow), results);
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  const more = rows.length > limit && last !== undefined;
  return {
    data: data.flatMap(({ id, view }) => readable(id, view)),
    next_cursor: more ? btoa(`${last.created_at}.${last.id}`) : null,
  };
}

/** No more jobs than this are told of at once. */
const FEED_LIMIT = 500;

/**
 * Jobs of a tenant of which D1 has heard since `since`, or of which it still will; oldest first, the newest
 * 500. A job lives `lifeMs` at most, so of older ones it cannot have.
 */
export async function changedSince(
  db: D1Database,
  tenant: string,
  { since, lifeMs }: { since: number; lifeMs: number },
): Promise<ExportJob[]> {
  const { results } = await db
    .prepare(
      `SELECT id, created_at, view FROM export_jobs
       WHERE tenant = ?1 AND created_at > ?2 AND (written_at >= ?3 OR completed_at IS NULL)
       ORDER BY created_at DESC, id DESC LIMIT ?4`,
    )
    .bind(tenant, since - 2 * lifeMs, since, FEED_LIMIT)
    .all();
  const rows = v.parse(v.array(PageRow), results).toReversed();
  return rows.flatMap(({ id, view }) => readable(id, view));
}

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

/** Says when the sweeper looks at a job again, epoch ms; null for never. */
export async function lookAgainAt(db: D1Database, id: string, at: number | null): Promise<void> {
  await db.prepare('UPDATE export_jobs SET look_at = ? WHERE id = ?').bind(at, id).run();
}

/** A stored view, or nothing when it was written by a version that knew more than this one. */
function readable(id: string, view: string | null): ExportJob[] {
  if (view === null) return [];
  const parsed = v.safeParse(View, view);
  if (parsed.success) return [parsed.output];
  logError('unreadable view', { job: id });
  return [];
}

function decodeCursor(cursor: string): { createdAt: number; id: string } {
  try {
    const [, createdAt, id] = /^(\d{1,15})\.([\w-]{1,64})$/.exec(atob(cursor)) ?? [];
    if (createdAt && id) return { createdAt: Number(createdAt), id };
  } catch {
    // Not base 64: refused below like any other wrong cursor.
  }
  throw new Refusal('invalid_query', { detail: '/cursor: is not a cursor of this list' });
}

/**
 * What a statement answers.
 * @throws Refusal `database_unavailable` when D1 cannot be reached.
 */
export async function reachable<T>(query: Promise<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    logError('d1', { error: String(error) });
    throw new Refusal('database_unavailable');
  }
}
