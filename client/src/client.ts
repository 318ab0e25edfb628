import type {
  CreateReply,
  ExportJob,
  ExportOptionsInput,
  JobStatus,
  ListReply,
  UploadedReply,
} from '@export-jobs/protocol';
import { isCreateReply, isJobReply, isListReply } from './guards.ts';
import { Http, pathOf, type Call, type Guard, type HttpConfig } from './http.ts';
import { DEFAULT_TIMING, type Timing } from './timing.ts';
import type { UploadOptions, UploadSource } from './upload.ts';
import { ExportWatch, type WatchOptions } from './watch.ts';

export interface ClientConfig extends HttpConfig {
  WebSocket?: typeof WebSocket | undefined;
  timing?: Partial<Timing> | undefined;
}

export interface CreateOptions {
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

/** The new job, a token that lets a browser watch it, and the upload it is made from. */
export interface Created extends CreateReply {
  upload_id: string;
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
  const sending = () => http.reach(() => import('./send.ts'));
  const at = <T>(id: string, tail: string, guard: Guard<T>, call?: Call) =>
    http.callSafely(pathOf(id) + tail, guard, { ...call, jobId: id });
  const method = 'POST';

  return {
    createExport: async (...what) => (await sending()).createExport(http, ...what),
    uploadFile: async (...what) => (await sending()).uploadFile(http, ...what),
    watchExport: (id, options = {}) => new ExportWatch(http, config.WebSocket, id, options),
    getExport: async (id, call) => (await at(id, '', isJobReply, call)).job,
    cancelExport: async (id) => (await at(id, '/cancel', isJobReply, { method })).job,
    retryExport: (id) => at(id, '/retry', isCreateReply, { method }),
    listExports({ signal, ...filter } = {}) {
      const query = new URLSearchParams();
      for (const [name, value] of Object.entries(filter)) {
        if (value !== undefined) query.set(name, String(value));
      }
      return http.callSafely(`/api/jobs?${query.toString()}`, isListReply, { signal });
    },
    // Where no base is known, as in server rendering, a path stays one.
    downloadUrl: ({ output_url }) =>
      config.baseUrl === undefined ? output_url : http.url(output_url),
  };
}
