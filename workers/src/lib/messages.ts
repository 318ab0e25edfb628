import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import type { Happening } from '../job/events.ts';
import { overallOf } from '../job/attempt.ts';
import type { Job, JobIn } from '../job/job.ts';
import { timeLeftOf } from '../job/project.ts';
import { withoutLink } from './links.ts';

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
  const { status, progress } = job;
  return { type: 'status', job_id, status, progress, ...more };
}

/** What a report can change, and no more: it is said often, and to many. */
export function reportOf(job: JobIn<'running'>): JobMessage {
  const { id: job_id, progress, message, seq, attempt, stage, fps, speed } = job;
  return {
    type: 'progress',
    job_id,
    progress,
    overall_progress: overallOf(job),
    ...(message !== null && { message }),
    seq,
    attempt,
    stage,
    fps,
    speed,
    ...timeLeftOf(job),
    updated_at: job.updatedAt,
  };
}

/** The same for who may watch but not have the file. */
export function withoutLinks(message: JobMessage): JobMessage {
  if (message.type === 'progress') return message;
  const job = withoutLink(message.job);
  return message.type === 'complete' ? { ...message, job, output_url: '' } : { ...message, job };
}

/** The job after a message, as a viewer puts it together. */
export function jobAfter(job: ExportJob | null, message: JobMessage): ExportJob | null {
  if (message.type !== 'progress') return message.job;
  if (job?.status !== 'processing' || job.attempt !== message.attempt) return job;
  const { type: _type, job_id: _id, message: said = null, ...reported } = message;
  return { ...job, ...reported, message: said };
}

/** What viewers hear of a change. One that begins the work by a report is two things. */
export function messagesOf(
  before: Job | null,
  after: Job,
  view: ExportJob,
  happening: Happening,
): JobMessage[] {
  if (happening !== 'progress' || after.state !== 'running') return [messageOf(view, happening)];
  const begins = before?.state !== 'running';
  return [...(begins ? [messageOf(view, 'snapshot')] : []), reportOf(after)];
}

/** The messages that bring a newcomer up to date: a snapshot and, of an ended job, its end. */
export function greetingOf(job: ExportJob): JobMessage[] {
  const snapshot = messageOf(job, 'snapshot');
  if (job.status !== 'complete' && job.status !== 'error') return [snapshot];
  return [snapshot, messageOf(job, job.status)];
}
