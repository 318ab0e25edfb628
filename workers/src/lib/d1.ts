import { ExportJob, isTerminal } from '@export-jobs/protocol';
import type { ListQuery } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { JobRequest } from '../job/job.ts';
import { logError } from './log.ts';
import { Refusal } from './respond.ts';

// Every statement that reads D1 or records an intent. What a job became is written by its outbox.

const View = v.pipe(v.string(), v.parseJson(), ExportJob);
const PageRow = v.object({ id: v.string(), created_at: v.number(), view: v.string() });
const QuietRow = v.object({
  id: v.string(),
  tenant: v.string(),
  request_hash: v.string(),
  request: v.nullable(v.string()),
});
export type QuietRow = v.InferOutput<typeof QuietRow>;
/** A job that nothing was heard of for this long is looked after, ms. */
const QUIET_MS = 2 * 60_000;

interface Intent {
  id: string;
  tenant: string;
  request: JobRequest;
  requestHash: string;
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

/** Records that a job is about to be made (rev 0); a repeat changes nothing. */
export async function insertIntent(db: D1Database, intent: Intent, lifeMs: number): Promise<void> {
  const now = Date.now();
  const statement = db
    .prepare(
      `INSERT INTO export_jobs (id, tenant, rev, status, progress, created_at, updated_at,
         deadline_at, request_hash, request)
       VALUES (?, ?, 0, 'pending', 0, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
    )
    .bind(
      intent.id,
      intent.tenant,
      now,
      now,
      now + lifeMs,
      intent.requestHash,
      JSON.stringify(intent.request),
    );
  await reachable(statement.run());
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
        `SELECT view FROM export_jobs WHERE id = ?1 AND (?2 IS NULL OR tenant = ?2) AND rev > 0`,
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
  { status, limit, cursor }: ListQuery,
): Promise<{ data: ExportJob[]; next_cursor: string | null }> {
  // Only what is asked for, in so many words: no index serves `? IS NULL OR status = ?`, and the partial
  // ones serve only who says which part is meant.
  const conditions = ['tenant = ?', 'rev > 0'];
  const values: (string | number)[] = [tenant];
  if (status !== undefined) {
    conditions.push('status = ?', `completed_at IS ${isTerminal(status) ? 'NOT NULL' : 'NULL'}`);
    values.push(status);
  }
  if (cursor !== undefined) {
    const { createdAt, id } = decodeCursor(cursor);
    conditions.push('(created_at, id) < (?, ?)');
    values.push(createdAt, id);
  }
  const { results } = await reachable(
    db
      .prepare(
        `SELECT id, created_at, view FROM export_jobs WHERE ${conditions.join(' AND ')}
         ORDER BY created_at DESC, id DESC LIMIT ?`,
      )
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

/**
 * Jobs that have not ended and of which nothing was heard for a while, those whose object was never
 * made first of all. Else in no order, so that none can stand in the way of the others for ever.
 */
export async function quietJobs(db: D1Database, now: number): Promise<QuietRow[]> {
  const { results } = await db
    .prepare(
      `SELECT id, tenant, request_hash, request FROM export_jobs
       WHERE completed_at IS NULL AND updated_at < ? ORDER BY request IS NULL, random() LIMIT 100`,
    )
    .bind(now - QUIET_MS)
    .all();
  return v.parse(v.array(QuietRow), results);
}

/** Ended jobs whose object should have done by now what it owed, or be gone; longest due first. */
export async function overdueJobs(db: D1Database, now: number): Promise<string[]> {
  const { results } = await db
    .prepare('SELECT id FROM export_jobs WHERE look_at < ? ORDER BY look_at LIMIT 100')
    .bind(now)
    .all();
  return v.parse(v.array(v.object({ id: v.string() })), results).map(({ id }) => id);
}

/** Says when the sweeper looks at an ended job again, epoch ms; null for never. */
export async function lookAgainAt(db: D1Database, id: string, at: number | null): Promise<void> {
  const sql = 'UPDATE export_jobs SET look_at = ? WHERE id = ? AND look_at IS NOT NULL';
  await db.prepare(sql).bind(at, id).run();
}

/** A stored view, or nothing when it was written by a version that knew more than this one. */
function readable(id: string, view: string): ExportJob[] {
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

async function reachable<T>(query: Promise<T>): Promise<T> {
  try {
    return await query;
  } catch (error) {
    logError('d1', { error: String(error) });
    throw new Refusal('database_unavailable');
  }
}
