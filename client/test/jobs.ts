import type { ExportJob } from '@export-jobs/protocol';
import type { Report } from '../src/advance.ts';

const base = {
  id: 'job-1',
  overall_progress: null,
  max_attempts: 3,
  filename: 'clip.mp4',
  input_size: 1000,
  options: null,
  upload_id: null,
  retry_of: null,
  tags: [],
  max_dollars: null,
  cost: null,
  created_at: 1,
  updated_at: 1,
  started_at: 1,
};

/** A running job at a point of its life. */
export function running(seq: number, progress: number, attempt = 1): ExportJob {
  return {
    ...base,
    status: 'processing',
    seq,
    progress,
    attempt,
    retry_count: attempt - 1,
    stage: 'rendering',
    message: null,
    fps: null,
    speed: null,
    eta_ms: null,
    eta_p90_ms: null,
    last_failure: null,
  };
}

export function waiting(seq: number, attempt = 1): ExportJob {
  return {
    ...base,
    status: 'pending',
    seq,
    progress: 0,
    attempt,
    retry_count: attempt - 1,
    waiting_for: attempt === 1 ? 'renderer' : 'retry',
    wait_reason: null,
    next_attempt_at: null,
    last_failure: null,
  };
}

export function complete(seq: number): ExportJob {
  return {
    ...base,
    status: 'complete',
    seq,
    progress: 100,
    attempt: 1,
    retry_count: 0,
    completed_at: 2,
    output_video_key: 'out/1',
    output_url: '/api/videos/download/out%2F1?exp=1&sig=x',
    verified: true,
    rendered: null,
    output: {
      key: 'out/1',
      filename: 'clip.mp4',
      container: 'mp4',
      content_type: 'video/mp4',
      size: 10,
      sha256: null,
      width: 2,
      height: 2,
      duration_ms: 1000,
      frames: 25,
    },
  };
}

export function cancelled(seq: number): ExportJob {
  return {
    ...base,
    status: 'cancelled',
    seq,
    progress: 40,
    attempt: 1,
    retry_count: 0,
    completed_at: 2,
  };
}

/** The message that tells of a report which led to this job. */
export function reportOf(job: ExportJob): Report {
  if (job.status !== 'processing') throw new Error(`the job is ${job.status}`);
  const { id: job_id, seq, progress, overall_progress, attempt, stage, fps, speed } = job;
  const { eta_ms, eta_p90_ms, updated_at } = job;
  const said = { job_id, seq, progress, overall_progress, attempt, stage, fps, speed };
  return { type: 'progress', ...said, eta_ms, eta_p90_ms, updated_at };
}

/** The message that carries a job. */
export function message(job: ExportJob) {
  const type = job.status === 'complete' ? 'complete' : 'status';
  return { type, job_id: job.id, seq: job.seq, status: job.status, progress: job.progress, job };
}
