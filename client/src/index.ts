export { createClient } from './client.ts';
export type {
  ClientConfig,
  Created,
  CreateOptions,
  ExportClient,
  ExportInput,
  ListOptions,
} from './client.ts';
export { ExportApiError, ExportTransportError, isRetryable } from './errors.ts';
export { isEnded } from './guards.ts';
export type { Timing } from './timing.ts';
export type { StreamSource, UploadGate, UploadOptions, UploadSource } from './upload.ts';
export type { UploadStore } from './upload-store.ts';
export { ExportWatch } from './watch.ts';
export type { Way } from './follow.ts';
export type { Connection, WatchOptions, WatchState } from './watch.ts';
export type {
  Codec,
  Container,
  CreateReply,
  EndedJob,
  ExportJob,
  ExportOptions,
  ExportOptionsInput,
  Failure,
  FailureCode,
  Fit,
  JobStatus,
  ListReply,
  Output,
  Problem,
  ProblemCode,
  Stage,
  UploadedReply,
  WaitReason,
} from '@export-jobs/protocol';
