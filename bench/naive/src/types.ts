/** The bindings of `wrangler.jsonc`, and where the parts are. */
export interface Env {
  EXPORT_JOB: DurableObjectNamespace;
  DB: D1Database;
  VIDEOS: R2Bucket;
  PUBLIC_URL: string;
  RUNPOD_ENDPOINT_URL: string;
  RUNPOD_API_KEY: string;
}

/** The job as the object keeps it: one value. */
export interface ExportJob {
  id: string;
  status: 'pending' | 'processing' | 'complete' | 'error';
  progress: number;
  retry_count: number;
  error?: string;
  output_video_key?: string;
  /** What the renderer is told. */
  input?: { upload_id: string; container: string };
}
