import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import type { Happening } from '../job/events.ts';

/** What viewers hear when something happened that left the job looking like this. */
export function messageOf(job: ExportJob, happening: Happening | 'snapshot'): JobMessage {
  const job_id = job.id;
  // Behind the contract's own fields, so that whoever reads along sees those first.
  const more = { seq: job.seq, job };
  if (happening === 'complete' && job.status === 'complete') {
    return { type: 'complete', job_id, output_url: job.output_url, ...more };
  }
  if (happening === 'error' && job.status === 'error') {
    return { type: 'error', job_id, error: job.error, ...more };
  }
  const { progress } = job;
  if (happening === 'progress' && job.status === 'processing') {
    const message = job.message === null ? {} : { message: job.message };
    return { type: 'progress', job_id, progress, ...message, ...more };
  }
  return { type: 'status', job_id, status: job.status, progress, ...more };
}

/** The messages that bring a newcomer up to date: a snapshot and, of an ended job, its end. */
export function greetingOf(job: ExportJob): JobMessage[] {
  const snapshot = messageOf(job, 'snapshot');
  if (job.status !== 'complete' && job.status !== 'error') return [snapshot];
  return [snapshot, messageOf(job, job.status)];
}
