import { ExportJob } from '@export-jobs/protocol';
import type { ListQuery } from '@export-jobs/protocol';
import * as v from 'valibot';
import { JobRequest } from '../job/job.ts';
import { Refusal } from './respond.ts';

// Every statement that reads D1 or records an intent. What a job became is written by its outbox.

const View = v.pipe(v.string(), v.parseJson(), ExportJob);
const PageRow = v.object({ id: v.string(), created_at: v.number(), view: View });
const OverdueRow = v.object({
  id: v.string(),
  tenant: v.string(),
  request_hash: v.string(),
  request: v.nullable(v.pipe(v.string(), v.parseJson(), JobRequest)),
});
export type OverdueRow = v.InferOutput<typeof OverdueRow>;

interface Intent {
  id: string;
  tenant: string;
  request: JobRequest;
  requestHash: string;
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

/** The last known view of a job whose object may be gone. A null tenant asks for no match. */
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
  return row ? v.parse(v.object({ view: View }), row).view : null;
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
  const from = cursor === undefined ? null : decodeCursor(cursor);
  const { results } = await reachable(
    db
      .prepare(
        `SELECT id, created_at, view FROM export_jobs
         WHERE tenant = ?1 AND rev > 0 AND (?2 IS NULL OR status = ?2)
           AND (?3 IS NULL OR (created_at, id) < (?3, ?4))
         ORDER BY created_at DESC, id DESC LIMIT ?5`,
      )
      .bind(tenant, status ?? null, from?.createdAt ?? null, from?.id ?? null, limit + 1)
      .all(),
  );
  const rows = v.parse(v.array(PageRow), results);
  const data = rows.slice(0, limit);
  const last = data.at(-1);
  const more = rows.length > limit && last !== undefined;
  return {
    data: data.map((row) => row.view),
    next_cursor: more ? btoa(`${last.created_at}.${last.id}`) : null,
  };
}

/** Jobs that should have ended by now, and intents whose object was never made. */
export async function overdueJobs(db: D1Database, now: number): Promise<OverdueRow[]> {
  const { results } = await db
    .prepare(
      `SELECT id, tenant, request_hash, request FROM export_jobs
       WHERE completed_at IS NULL AND (deadline_at < ?1 OR (rev = 0 AND created_at < ?2))
       ORDER BY deadline_at LIMIT 50`,
    )
    .bind(now, now - 60_000)
    .all();
  return v.parse(v.array(OverdueRow), results);
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
    console.error(JSON.stringify({ level: 'error', msg: 'd1', error: String(error) }));
    throw new Refusal('database_unavailable');
  }
}
