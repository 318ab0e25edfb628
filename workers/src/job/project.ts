import { CONTENT_TYPE_OF } from '@export-jobs/protocol';
import type { ExportJob } from '@export-jobs/protocol';
import { isEnded } from './job.ts';
import type { Job, LiveJob } from './job.ts';
import type { Policy } from './policy.ts';

/** Makes the address under which an output can be downloaded. */
export type Linker = (key: string) => string;

/** The job as anyone may see it. */
export function viewOf(job: Job, policy: Policy, link: Linker): ExportJob {
  const base = {
    id: job.id,
    progress: job.progress,
    attempt: job.attempt,
    max_attempts: policy.max_attempts + job.losses + job.outages,
    retry_count: job.attempt - 1,
    seq: job.seq,
    ...requestView(job.request),
    created_at: job.createdAt,
    updated_at: job.updatedAt,
    started_at: job.startedAt,
  };
  if (!isEnded(job)) return { ...base, ...liveView(job) };
  const completed_at = job.completedAt;
  switch (job.state) {
    case 'complete':
      return {
        ...base,
        status: 'complete',
        output: job.output,
        output_video_key: job.output.key,
        output_url: link(job.output.key),
        verified: job.verified,
        completed_at,
      };
    case 'failed': {
      const { code, message } = job.failure;
      return { ...base, status: 'error', error: message, error_code: code, completed_at };
    }
    case 'cancelled':
      return { ...base, status: 'cancelled', completed_at };
  }
}

function requestView(request: Job['request']) {
  if (!request) {
    return { upload_id: null, filename: null, input_size: null, options: null, retry_of: null };
  }
  const { input, options, retryOf } = request;
  return {
    upload_id: input.key.split('/').at(-1) ?? null,
    filename: input.filename,
    input_size: input.size,
    options,
    retry_of: retryOf,
  };
}

function liveView(job: LiveJob) {
  const last_failure = job.lastFailure;
  if (job.state === 'adopting') {
    const unknown = { message: null, fps: null, speed: null, eta_ms: null };
    return { status: 'processing', last_failure, stage: 'verifying', ...unknown } as const;
  }
  if (job.state === 'running') {
    const { stage, message, fps, speed, etaMs: eta_ms } = job;
    return { status: 'processing', last_failure, stage, message, fps, speed, eta_ms } as const;
  }
  const waits = { dispatching: 'dispatch', dispatched: 'renderer', retry_wait: 'retry' } as const;
  const isUnknown = job.state === 'dispatched' && job.request !== null && job.remoteId === null;
  return {
    status: 'pending',
    last_failure,
    waiting_for: isUnknown ? 'dispatch' : waits[job.state],
    wait_reason: job.state === 'dispatched' ? job.waiting : null,
    next_attempt_at: job.state === 'retry_wait' ? job.retryAt : null,
  } as const;
}

/** The name under which a browser saves the output. */
export function outputFilename(job: Pick<Job, 'request' | 'id'>): string {
  const container = job.request?.options.container ?? 'mp4';
  const stem = (job.request?.input.filename ?? job.id).replace(/\.[^.]{1,5}$/, '');
  return `${stem || 'video'}-export.${container}`;
}

/** What the output of a dispatched job is served as. */
export function outputContentType(job: Pick<Job, 'request'>): string {
  return CONTENT_TYPE_OF[job.request?.options.container ?? 'mp4'];
}
