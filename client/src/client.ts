import type {
  CreateReply,
  ExportJob,
  ExportOptionsInput,
  JobStatus,
  ListReply,
  UploadedReply,
} from '@export-jobs/protocol';
import { isJobReply } from './guards.ts';
import { Http, pathOf, type Call, type HttpConfig } from './http.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';
import type { UploadOptions, UploadSource } from './upload.ts';
import { ExportWatch, type WatchOptions } from './watch.ts';

export interface ClientConfig extends HttpConfig {
  timing?: Partial<Timing> | undefined;
}

export interface CreateOptions extends Pick<UploadOptions, 'onResume' | 'pause' | 'store'> {
  /** Makes repeats return the first job. By default made anew for each `createExport`. */
  idempotencyKey?: string | undefined;
  /** Labels to list it by: letters, digits and `_.:-`, at most eight. */
  tags?: string[] | undefined;
  /** Stops the export once its renderers have cost this much, dollars. */
  maxDollars?: number | undefined;
  signal?: AbortSignal | undefined;
  onUploadProgress?: UploadOptions['onProgress'];
  /** Called once the bytes are there, before the job is created. */
  onUploaded?: ((upload: UploadedReply) => void) | undefined;
}

/** A file to upload, one that is uploaded already, or one on another server (https), which is read there. */
export type ExportInput = UploadSource | { upload_id: string } | { url: string; filename?: string };

/** The new job, a token that lets a browser watch it, and the upload it is made from. */
export interface Created extends CreateReply {
  /** Null for a file on another server. */
  upload_id: string | null;
}

export interface ListOptions {
  /** One of these two at most. */
  status?: JobStatus | undefined;
  tag?: string | undefined;
  cursor?: string | undefined;
  /** 1–100. */
  limit?: number | undefined;
  signal?: AbortSignal | undefined;
}

/** Exported by no entry, so that only this package finds what is behind it. */
export const HTTP = Symbol();

export interface ExportClient {
  /** Uploads when given a file, then creates the job. Repeats what is safe to repeat. */
  createExport(
    input: ExportInput,
    options?: ExportOptionsInput,
    how?: CreateOptions,
  ): Promise<Created>;
  uploadFile(source: UploadSource, options?: UploadOptions): Promise<UploadedReply>;
  /** Nothing is dialled until someone listens, iterates, or asks for the result. */
  watchExport(id: string, options?: WatchOptions): ExportWatch;
  getExport(id: string, options?: { signal?: AbortSignal | undefined }): Promise<ExportJob>;
  /** One page, newest first. */
  listExports(options?: ListOptions): Promise<ListReply>;
  cancelExport(id: string): Promise<ExportJob>;
  /** A new job like one that failed or was cancelled; asking twice gives the same one. */
  retryExport(id: string): Promise<CreateReply>;
  /** Forgets a job that has ended, with its file. */
  deleteExport(id: string): Promise<void>;
  /** Where a finished job's file is. */
  downloadUrl(job: { output_url: string }): string;
  /** Not for callers: what the other entries of this package call through. */
  readonly [HTTP]: Http;
}

/**
 * Talks to one export-jobs server. Every method throws `ExportApiError` when the server refuses,
 * `ExportTransportError` when it cannot be reached, and the signal's reason when that aborts.
 * `baseUrl` defaults to the page's own origin.
 */
export function createClient(config: ClientConfig = {}): ExportClient {
  const http = new Http(config, { ...DEFAULT_TIMING, ...config.timing });
  const calls = () => http.reach(() => import('./calls.ts'));
  const job = async (id: string, tail: string, call?: Call) =>
    (await http.callSafely(pathOf(id) + tail, isJobReply, { ...call, jobId: id })).job;

  return {
    createExport: async (...what) => (await calls()).createExport(http, ...what),
    uploadFile: async (...what) => (await calls()).uploadFile(http, ...what),
    watchExport: (id, options = {}) => new ExportWatch(http, id, options),
    getExport: (id, call) => job(id, '', call),
    cancelExport: (id) => job(id, '/cancel', { method: 'POST' }),
    retryExport: async (id) => (await calls()).retryExport(http, id),
    deleteExport: async (id) => (await calls()).deleteExport(http, id),
    listExports: async (options) => (await calls()).listExports(http, options),
    // Where no base is known, as in server rendering, a path stays one.
    downloadUrl: ({ output_url }) => (config.baseUrl ? http.url(output_url) : output_url),
    [HTTP]: http,
  };
}
