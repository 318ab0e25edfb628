// Cheap shape checks: enough to tell our server from a proxy's page, without a schema library.
import type {
  CreateReply,
  EndedJob,
  ExportJob,
  JobReply,
  JobStatus,
  ListReply,
  PartsReply,
  Problem,
  UploadedReply,
  UploadReply,
} from '@export-jobs/protocol';
import type { Report } from './advance.ts';

const ENDED: Readonly<Record<JobStatus, boolean>> = {
  pending: false,
  processing: false,
  complete: true,
  error: true,
  cancelled: true,
};

type Fields = Readonly<Record<string, unknown>>;

const isObject = (value: unknown): value is Fields => typeof value === 'object' && value !== null;

/** Whether it is an object that has these fields, each of this type. */
const has = (
  value: unknown,
  type: 'string' | 'number' | 'boolean',
  ...names: string[]
): value is Fields =>
  // oxlint-disable-next-line valid-typeof -- the type is one of those above
  isObject(value) && names.every((name) => typeof value[name] === type);

export const isJob = (value: unknown): value is ExportJob =>
  has(value, 'string', 'id') &&
  has(value, 'number', 'seq', 'attempt', 'progress') &&
  has(ENDED, 'boolean', String(value.status));

/** Whether a job is over; it never changes again. */
export const isEnded = (job: ExportJob | null): job is EndedJob =>
  job !== null && ENDED[job.status];

export const isJobReply = (value: unknown): value is JobReply =>
  isObject(value) && isJob(value.job);

/** A reply with a job and perhaps what happened before, which is yet to be looked at. */
export const isPollReply = (value: unknown): value is JobReply & { events?: unknown[] } =>
  isObject(value) && isJob(value.job) && Array.isArray(value.events ?? []);

export const isReport = (value: unknown): value is Report =>
  has(value, 'string', 'job_id') &&
  value.type === 'progress' &&
  has(value, 'number', 'seq', 'progress', 'attempt');

/** All is told that there was to tell. */
export const isReady = (value: unknown): value is { type: 'ready'; cursor: number } =>
  has(value, 'number', 'cursor') && value.type === 'ready';

export const isCreateReply = (value: unknown): value is CreateReply =>
  isObject(value) && isJob(value.job) && has(value, 'string', 'viewer_token');

export const isListReply = (value: unknown): value is ListReply =>
  isObject(value) && Array.isArray(value.data) && value.data.every(isJob);

/** How a large file is cut, and the token that its parts are asked for with. */
export const isPartsPlan = (value: unknown): value is NonNullable<UploadReply['parts']> =>
  isObject(value) && has(value, 'number', 'size', 'count') && has(value, 'string', 'token');

export const isUploadReply = (value: unknown): value is UploadReply =>
  has(value, 'string', 'upload_id', 'url') &&
  (value.parts === undefined || isPartsPlan(value.parts));

export const isPartsReply = (value: unknown): value is PartsReply =>
  isObject(value) &&
  Array.isArray(value.parts) &&
  value.parts.every((part) => isObject(part) && has(part, 'string', 'url'));

export const isUploadedReply = (value: unknown): value is UploadedReply =>
  has(value, 'string', 'upload_id') && has(value, 'number', 'size');

/** Its `status` is that of the answer, whatever it says. */
export const isProblem = (value: unknown): value is Problem =>
  has(value, 'string', 'code', 'title') && has(value, 'boolean', 'retryable');

/** Several messages in one frame. */
export const isBatch = (value: unknown): value is { messages: unknown[] } =>
  isObject(value) && value.type === 'batch' && Array.isArray(value.messages);

/** A job is no more. */
export const isDeletion = (value: unknown): value is { type: 'deleted'; job_id: string } =>
  has(value, 'string', 'job_id') && value.type === 'deleted';
