// Responsible for the pages whose cost is counted, and for one job's writes. What is counted is the
// Worker's own code on D1 itself.
import { ListQuery } from '@export-jobs/protocol';
import * as v from 'valibot';
import { limitsOf } from '../../workers/src/access/plans.ts';
import { jobIn, lens, policy } from '../../workers/src/job/fixtures.ts';
import { viewOf } from '../../workers/src/job/project.ts';
import { insertIntent } from '../../workers/src/lib/intents.ts';
import { listPage } from '../../workers/src/lib/job-views.ts';
import { firstView } from '../../workers/src/lib/first-view.ts';
import { mirrorToD1 } from '../../workers/src/outbox/handlers/mirror-to-d1.ts';
import { counted, type Bill } from './counted.ts';

export interface PageQuery {
  readonly owner: string;
  readonly limit: number;
  readonly status?: ListQuery['status'];
  readonly tag?: ListQuery['tag'];
  /** How many jobs of this list lie before the page. */
  readonly behind?: number;
}

/**
 * Rows that a page may read beside those that it shows: one to know whether there is another page,
 * and the row that the cursor names, at which the search begins.
 */
export const LOOK_AHEAD = 2;

/** How many rows a page may read that shows so many jobs; one by tag reads each job and its label. */
export function allowance({ tag }: PageQuery, jobs: number): number {
  return tag === undefined ? jobs + LOOK_AHEAD : 2 * (jobs + LOOK_AHEAD);
}

/** Reads one page as the Worker does. @returns how many jobs it shows, and D1's bill for it. */
export async function countPage(db: D1Database, page: PageQuery): Promise<Bill & { jobs: number }> {
  const { owner, limit, status, tag, behind = 0 } = page;
  const cursor = behind === 0 ? undefined : await cursorBehind(db, page, behind);
  const query = v.parse(ListQuery, {
    limit: String(limit),
    ...(status && { status }),
    ...(tag && { tag }),
    ...(cursor && { cursor }),
  });
  const d1 = counted(db);
  const { data } = await listPage(d1.db, owner, query);
  const [bill, ...more] = d1.take();
  if (!bill || more.length > 0) throw new Error('a page is one statement');
  return { ...bill, jobs: data.length };
}

/** Made here, because walking to a deep page would take longer than all that is measured. */
async function cursorBehind(
  db: D1Database,
  { owner, status, tag }: PageQuery,
  behind: number,
): Promise<string> {
  const from = tag === undefined ? 'export_jobs' : 'export_job_tags';
  const only = tag === undefined ? '?2 IS NULL OR status = ?2' : 'tag = ?2';
  const row = await db
    .prepare(
      `SELECT created_at, id FROM ${from} WHERE tenant = ?1 AND (${only})
       ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET ?3`,
    )
    .bind(owner, tag ?? status ?? null, behind - 1)
    .first();
  const { created_at, id } = v.parse(v.object({ created_at: v.number(), id: v.string() }), row);
  return btoa(`${created_at}.${id}`);
}

/** The life of a job that goes well, as D1 hears of it. */
const LIFE = ['running', 'complete'] as const;

/** Writes one job's whole life. @returns D1's bill for each write. */
export async function countLife(db: D1Database): Promise<{ write: string; bill: Bill }[]> {
  const d1 = counted(db);
  const { id, tenant, requestHash, request } = jobIn('dispatching');
  if (!request) throw new Error('the job of the fixtures has no request');
  const view = firstView({ id, tenant, requestHash, request }, policy);
  const bounds = { ...limitsOf({}, 'default'), lifeMs: policy.job_ms };
  await insertIntent(d1.db, { id, tenant, requestHash, request, view }, bounds);
  for (const state of LIFE) {
    const job = jobIn(state);
    await mirrorToD1(d1.db, { job, view: viewOf(job, lens), log: [], lookAt: null });
  }
  const writes = ['intent', ...LIFE];
  return d1.take().map((bill, i) => ({ write: writes[i] ?? '', bill }));
}
