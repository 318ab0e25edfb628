import type { ExportJob, WebSocketMessage } from '@export-jobs/protocol';
import { isEnded } from './guards.ts';

/**
 * The job to show after hearing `next`, whatever order things arrive in:
 * nothing after an end; never an older `seq`; progress never falls within an attempt, nor that of the
 * whole job ever: a server that crashed has forgotten what it said. An end is taken whatever its `seq`,
 * since it is the last thing that can be said about a job.
 */
export function advance(current: ExportJob | null, next: ExportJob): ExportJob {
  if (current === null) return next;
  if (isEnded(current) || (next.seq < current.seq && !isEnded(next))) return current;
  const { attempt, progress, overall_progress } = current;
  let shown = next;
  if (attempt === next.attempt && progress > next.progress) shown = { ...shown, progress };
  if ((overall_progress ?? 0) > (next.overall_progress ?? 100)) {
    shown = { ...shown, overall_progress };
  }
  return shown;
}

/** A report: what a renderer's progress can change of a job that is being processed. */
export type Report = Extract<WebSocketMessage, { type: 'progress' }>;

/** The job to show after a report; one that fits no job that is known changes nothing. */
export function withReport(current: ExportJob | null, report: Report): ExportJob | null {
  if (current?.status !== 'processing' || current.attempt !== report.attempt) return current;
  const { type: _type, job_id: _id, message = null, ...said } = report;
  return advance(current, { ...current, ...said, message });
}
