// Cheap shape checks: enough to tell our server from a proxy's page, without a schema library.
import type {
  CreateReply,
  ExportJob,
  JobReply,
  JobStatus,
  ListReply,
  Problem,
  UploadedReply,
  UploadReply,
} from '@export-jobs/protocol';

const STATUSES: Readonly<Record<JobStatus, boolean>> = {
  pending: false,
  processing: false,
  complete: true,
  error: true,
  cancelled: true,
};

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

export function isJob(value: unknown): value is ExportJob {
  return (
    isObject(value) &&
    typeof value.id === 'string' &&
    typeof value.seq === 'number' &&
    typeof value.attempt === 'number' &&
    typeof value.progress === 'number' &&
    typeof value.status === 'string' &&
    Object.hasOwn(STATUSES, value.status)
  );
}

/** Whether a job is over; it never changes again. */
export function isEnded(
  job: ExportJob | null,
): job is Extract<ExportJob, { completed_at: number }> {
  return job !== null && STATUSES[job.status];
}

export const isJobReply = (value: unknown): value is JobReply =>
  isObject(value) && isJob(value.job);

export const isCreateReply = (value: unknown): value is CreateReply =>
  isObject(value) && isJob(value.job) && typeof value.viewer_token === 'string';

export const isListReply = (value: unknown): value is ListReply =>
  isObject(value) && Array.isArray(value.data) && value.data.every(isJob);

export const isUploadReply = (value: unknown): value is UploadReply =>
  isObject(value) && typeof value.upload_id === 'string' && typeof value.url === 'string';

export const isUploadedReply = (value: unknown): value is UploadedReply =>
  isObject(value) && typeof value.upload_id === 'string' && typeof value.size === 'number';

export const isProblem = (value: unknown): value is Problem =>
  isObject(value) &&
  typeof value.code === 'string' &&
  typeof value.status === 'number' &&
  typeof value.title === 'string' &&
  typeof value.retryable === 'boolean';
