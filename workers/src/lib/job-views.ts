import { ExportJob } from '@export-jobs/protocol';
import type { ListQuery } from '@export-jobs/protocol';
import * as v from 'valibot';
import { reachable } from './d1.ts';
import { logError } from './log.ts';
import { Refusal } from './respond.ts';

// Responsible for jobs as D1 shows them: each as its object told last. A null tenant fits any.

const View = v.pipe(v.string(), v.parseJson(), ExportJob);
const PageRow = v.object({
  id: v.string(),
  created_at: v.number(),
  view: v.nullable(v.string()),
});

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
  // A deleted job has neither.
  else only('view IS NOT NULL');
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

/** So many jobs that ended, or were deleted, are told to who comes back to a feed; a list has the others. */
const ENDED_LIMIT = 500;
const LIVE_PAGE = 500;
/** So many pages of jobs that go on are told: an owner with more than 5,000 of a status is not told of all. */
const LIVE_PAGES = 10;

/** The jobs of a tenant that have not ended, newest first, those under way before those that wait. */
export async function* liveJobs(db: D1Database, tenant: string): AsyncGenerator<ExportJob[]> {
  // What begins meanwhile is in neither, and what has begun before the second is read was in none: a feed is told of it.
  for (const status of ['processing', 'pending'] as const) {
    let cursor: string | undefined;
    for (let page = 0; page < LIVE_PAGES; page += 1) {
      const { data, next_cursor } = await listPage(db, tenant, {
        status,
        limit: LIVE_PAGE,
        cursor,
      });
      yield data;
      if (next_cursor === null) break;
      cursor = next_cursor;
    }
  }
}

/** The ids of jobs of a tenant that were deleted since, epoch ms, and not more than a day ago; the newest 500. */
export async function deletedSince(
  db: D1Database,
  tenant: string,
  since: number,
): Promise<string[]> {
  const { results } = await db
    .prepare(
      `SELECT id FROM export_jobs WHERE status = 'deleted' AND tenant = ? AND written_at >= ?
       ORDER BY created_at DESC LIMIT ?`,
    )
    .bind(tenant, since, ENDED_LIMIT)
    .all();
  return v.parse(v.array(v.object({ id: v.string() })), results).map(({ id }) => id);
}

/**
 * Jobs of a tenant of whose end D1 has heard since `since`, epoch ms; the newest 500. A job lives `lifeMs` at most,
 * so of older ones it cannot have.
 */
export async function endedSince(
  db: D1Database,
  tenant: string,
  { since, lifeMs }: { since: number; lifeMs: number },
): Promise<ExportJob[]> {
  const { results } = await db
    .prepare(
      `SELECT id, created_at, view FROM export_jobs
       WHERE tenant = ?1 AND created_at > ?2 AND view IS NOT NULL AND written_at >= ?3
         AND completed_at IS NOT NULL
       ORDER BY created_at DESC, id DESC LIMIT ?4`,
    )
    .bind(tenant, since - 2 * lifeMs, since, ENDED_LIMIT)
    .all();
  return v.parse(v.array(PageRow), results).flatMap(({ id, view }) => readable(id, view));
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
