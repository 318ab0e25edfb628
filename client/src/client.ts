import type {
  CreateReply,
  ExportJob,
  ExportOptionsInput,
  JobStatus,
  ListReply,
  UploadedReply,
} from '@export-jobs/protocol';
import { isCreateReply, isJobReply, isListReply } from './guards.ts';
import { Http, type HttpConfig } from './http.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';
import { uploadFile, type UploadOptions, type UploadSource } from './upload.ts';
import { ExportWatch, type WatchOptions } from './watch.ts';

export interface ClientConfig extends HttpConfig {
  WebSocket?: typeof WebSocket | undefined;
  timing?: Partial<Timing> | undefined;
}

export interface CreateOptions {
  /** Makes repeats return the first job. By default made anew for each `createExport`. */
  idempotencyKey?: string | undefined;
  signal?: AbortSignal | undefined;
  onUploadProgress?: UploadOptions['onProgress'];
  /** Called once the bytes are there, before the job is created. */
  onUploaded?: ((upload: UploadedReply) => void) | undefined;
}

/** The new job, a token that lets a browser watch it, and the upload it is made from. */
export interface Created extends CreateReply {
  upload_id: string;
}

export interface ListOptions {
  status?: JobStatus | undefined;
  cursor?: string | undefined;
  /** 1–100. */
  limit?: number | undefined;
  signal?: AbortSignal | undefined;
}

export interface ExportClient {
  /** Uploads when given a file, then creates the job. Repeats what is safe to repeat. */
  createExport(
    input: UploadSource | { upload_id: string },
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
  /** Where a finished job's file is. */
  downloadUrl(job: { output_url: string }): string;
}

/**
 * Talks to one export-jobs server. Every method throws `ExportApiError` when the server refuses,
 * `ExportTransportError` when it cannot be reached, and the signal's reason when that aborts.
 * `baseUrl` defaults to the page's own origin.
 */
export function createClient(config: ClientConfig = {}): ExportClient {
  const http = new Http(config, { ...DEFAULT_TIMING, ...config.timing });
  const pathOf = (id: string) => `/api/jobs/${encodeURIComponent(id)}`;

  return {
    async createExport(input, options = {}, how = {}) {
      const { signal, onUploadProgress: onProgress } = how;
      const key = how.idempotencyKey ?? crypto.randomUUID();
      let upload_id: string;
      if ('upload_id' in input) upload_id = input.upload_id;
      else {
        const upload = await uploadFile(http, input, { onProgress, signal });
        how.onUploaded?.(upload);
        upload_id = upload.upload_id;
      }
      const reply = await http.callSafely('/api/jobs', isCreateReply, {
        method: 'POST',
        body: { input: { upload_id }, options },
        headers: { 'idempotency-key': key },
        signal,
      });
      return { ...reply, upload_id };
    },
    uploadFile: (source, options) => uploadFile(http, source, options),
    watchExport: (id, options = {}) => new ExportWatch(http, config.WebSocket, id, options),
    async getExport(id, { signal } = {}) {
      return (await http.callSafely(pathOf(id), isJobReply, { jobId: id, signal })).job;
    },
    listExports({ signal, ...filter } = {}) {
      const query = new URLSearchParams();
      for (const [name, value] of Object.entries(filter)) {
        if (value !== undefined) query.set(name, String(value));
      }
      return http.callSafely(`/api/jobs?${query.toString()}`, isListReply, { signal });
    },
    async cancelExport(id) {
      const call = { method: 'POST', jobId: id } as const;
      return (await http.callSafely(`${pathOf(id)}/cancel`, isJobReply, call)).job;
    },
    retryExport(id) {
      const call = { method: 'POST', jobId: id } as const;
      return http.callSafely(`${pathOf(id)}/retry`, isCreateReply, call);
    },
    downloadUrl: (job) => http.link(job.output_url),
  };
}
