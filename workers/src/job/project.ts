import { CONTENT_TYPE_OF } from '@export-jobs/protocol';
import type { ExportJob } from '@export-jobs/protocol';
import { changeSeq, overallOf, seenProgress } from './attempt.ts';
import { costOf } from './cost.ts';
import type { Usage } from './cost.ts';
import { forecastOf } from './forecast.ts';
import { isEnded } from './job.ts';
import type { Job, JobIn, LiveJob } from './job.ts';
import type { Policy } from './policy.ts';

/** Makes the address under which an output can be downloaded. */
export type Linker = (key: string) => string;

/** What is needed besides a job to show it. */
export interface Lens {
  readonly policy: Policy;
  readonly link: Linker;
  readonly usage: Usage;
}

/** The job as anyone may see it. */
export function viewOf(job: Job, { policy, link, usage }: Lens): ExportJob {
  const base = {
    id: job.id,
    progress: job.progress,
    overall_progress: overallOf(job),
    attempt: job.attempt,
    max_attempts: policy.max_attempts + job.losses + job.outages,
    retry_count: job.attempt - 1,
    seq: job.seq,
    ...requestView(job.request),
    cost: job.request && costOf(job, usage, policy),
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
        rendered: job.rendered,
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

/**
 * The same for a viewer that names the last number it saw: reports may have been forgotten with the
 * object's memory, and what was shown is not taken back.
 */
export function asSeenSince(view: ExportJob, job: Job, since: number | null): ExportJob {
  if (since === null || job.state !== 'running' || since <= view.seq) return view;
  // A number of another change is not of this job.
  if (changeSeq(since) !== changeSeq(job.seq)) return view;
  const progress = Math.max(seenProgress(job, since), view.progress);
  return { ...view, progress, overall_progress: overallOf({ ...job, progress }), seq: since };
}

/** The time that a running job still takes, in the words of the wire. */
export function timeLeftOf(job: JobIn<'running'>) {
  const { p50Ms: eta_ms = null, p90Ms: eta_p90_ms = null } = forecastOf(job) ?? {};
  return { eta_ms, eta_p90_ms };
}

function requestView(request: Job['request']) {
  if (!request) {
    const nothing = { upload_id: null, filename: null, input_size: null, options: null };
    return { ...nothing, retry_of: null, tags: [], max_dollars: null };
  }
  const { input, options, retryOf, tags, maxDollars } = request;
  return {
    upload_id: input.kind === 'upload' ? (input.key.split('/').at(-1) ?? null) : null,
    filename: input.filename,
    input_size: input.kind === 'upload' ? input.size : null,
    options,
    retry_of: retryOf,
    tags,
    max_dollars: maxDollars,
  };
}

function liveView(job: LiveJob) {
  const last_failure = job.lastFailure;
  if (job.state === 'adopting') {
    const unknown = { message: null, fps: null, speed: null, eta_ms: null, eta_p90_ms: null };
    return { status: 'processing', last_failure, stage: 'verifying', ...unknown } as const;
  }
  if (job.state === 'running') {
    const { stage, message, fps, speed } = job;
    const said = { status: 'processing', last_failure, stage, message, fps, speed } as const;
    return { ...said, ...timeLeftOf(job) };
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
