import type { ExportJob } from '@export-jobs/protocol';
import { changeSeq } from '../../job/attempt.ts';
import { isEnded } from '../../job/job.ts';
import type { Job } from '../../job/job.ts';
import type { LogEntry } from '../../job/log.ts';
import { NOW } from '../../lib/d1.ts';

interface Mirrored {
  readonly job: Job;
  readonly view: ExportJob;
  readonly log: readonly LogEntry[];
  /** When the sweeper looks at an ended job, epoch ms; null for never. */
  readonly lookAt: number | null;
}

/**
 * Writes the present job into D1, unless D1 already has it or something newer: repeats and late
 * arrivals change nothing. Of an ended job its log goes with it. Returns how many rows were written.
 */
export async function mirrorToD1(
  db: D1Database,
  { job, view, log, lookAt }: Mirrored,
): Promise<number> {
  const ended = isEnded(job);
  // A column in SET costs a row for each index that it is in, though its value stays the same.
  const atTheEnd = ended
    ? 'completed_at = excluded.completed_at, look_at = excluded.look_at, log = excluded.log,'
    : '';
  const { meta } = await db
    .prepare(
      `INSERT INTO export_jobs (id, tenant, rev, status, progress, error, retry_count,
         output_video_key, created_at, updated_at, started_at, completed_at, deadline_at,
         look_at, request_hash, request, cost_usd, log, view, written_at)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, ${NOW})
       ON CONFLICT (id) DO UPDATE SET rev = excluded.rev, status = excluded.status,
         progress = excluded.progress, error = excluded.error, retry_count = excluded.retry_count,
         output_video_key = excluded.output_video_key, updated_at = excluded.updated_at,
         started_at = excluded.started_at, ${atTheEnd} request = NULL,
         cost_usd = excluded.cost_usd, view = excluded.view, written_at = excluded.written_at
       WHERE (excluded.rev > export_jobs.rev OR
           (excluded.rev = export_jobs.rev AND excluded.log IS NOT NULL AND export_jobs.log IS NULL))
         AND export_jobs.tenant = excluded.tenant`,
    )
    .bind(
      job.id,
      job.tenant,
      // A repeat writes nothing, though there were reports since.
      ended ? job.seq : changeSeq(job.seq),
      view.status,
      view.progress,
      view.status === 'error' ? view.error : null,
      view.retry_count,
      view.status === 'complete' ? view.output_video_key : null,
      view.created_at,
      view.updated_at,
      view.started_at,
      'completed_at' in view ? view.completed_at : null,
      job.deadlineAt,
      lookAt,
      job.requestHash,
      view.cost?.dollars ?? null,
      ended ? JSON.stringify(log) : null,
      JSON.stringify(view),
    )
    .run();
  return meta.rows_written;
}
