// Responsible for a database full of jobs, as their objects would have written them. Everything is
// computed from a job's number, so that two fills are the same.
import { jobIn, lens } from '../../workers/src/job/fixtures.ts';
import type { JobState } from '../../workers/src/job/job.ts';
import { viewOf } from '../../workers/src/job/project.ts';

export interface Crowd {
  /** A multiple of ten, and none of 7,919. */
  readonly jobs: number;
  readonly owners: number;
}

/** Has a tenth of all jobs; the others share the rest evenly. */
export const BIG_OWNER = 'owner-0';
export const SMALL_OWNER = 'owner-1';

const FIRST_AT = 1_750_000_000_000;
/** One statement makes so many rows. */
const BATCH = 10_000;

// A prime spreads the times over the ids. Forty jobs share each second, four of them the big owner's:
// a page may begin between two of the same moment. Of 1,000 jobs 940 are complete, 40 failed, 10
// cancelled; 5 are processing and 5 pending. The casts, because D1 takes every number for a fraction.
const FILL = `
  WITH RECURSIVE
    numbers (n) AS (
      SELECT CAST(?1 AS INTEGER) UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < ?2
    ),
    jobs AS (
      SELECT printf('job_%07x', n) AS id,
        'owner-' || CASE n % 10 WHEN 0 THEN 0 ELSE 1 + n % (CAST(?4 AS INTEGER) - 1) END AS tenant,
        CAST(?5 AS INTEGER) + n * 7919 % CAST(?3 AS INTEGER) / 40 * 1000 AS created_at,
        CASE
          WHEN n / 10 % 1000 < 940 THEN ?6 WHEN n / 10 % 1000 < 980 THEN ?7
          WHEN n / 10 % 1000 < 990 THEN ?8 WHEN n / 10 % 1000 < 995 THEN ?9 ELSE ?10
        END AS view
      FROM numbers
    )
  INSERT INTO export_jobs (id, tenant, rev, status, progress, created_at, updated_at, completed_at,
    look_at, deadline_at, request_hash, view)
  SELECT id, tenant, view ->> 'seq', view ->> 'status', view ->> 'progress', created_at, created_at,
    view ->> 'completed_at', iif(view ->> 'completed_at', NULL, created_at + 900000),
    created_at + 21600000, id,
    json_set(view, '$.id', id, '$.created_at', created_at)
  FROM jobs`;

/** Every job has one of these; the second is that of one job in a hundred. */
export const TAGS = ['campaign', 'launch'] as const;
const LABEL = `
  INSERT INTO export_job_tags (tenant, tag, created_at, id)
  SELECT tenant, iif(rev % 100 = 0, ?1, ?2), created_at, id FROM (
    SELECT tenant, created_at, id, row_number() OVER (ORDER BY tenant, created_at, id) AS rev FROM export_jobs
  )`;

const STATES = ['complete', 'failed', 'cancelled', 'running', 'dispatched'] as const;

/** Fills an empty database. Its views come from the machine; ids and times are each job's own. */
export async function fill(db: D1Database, { jobs, owners }: Crowd): Promise<void> {
  const views = STATES.map((state) => JSON.stringify(viewIn(state)));
  for (let from = 0; from < jobs; from += BATCH) {
    const to = Math.min(jobs, from + BATCH);
    await db
      .prepare(FILL)
      .bind(from, to, jobs, owners, FIRST_AT, ...views)
      .run();
  }
  await db.prepare(LABEL).bind(TAGS[1], TAGS[0]).run();
}

function viewIn(state: JobState) {
  return viewOf(jobIn(state), lens);
}
