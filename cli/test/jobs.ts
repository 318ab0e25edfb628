import type { ExportJob } from '@export-jobs/client';

const base = {
  id: 'job_1',
  progress: 0,
  overall_progress: null,
  attempt: 1,
  max_attempts: 3,
  retry_count: 0,
  retry_of: null,
  seq: 1000,
  upload_id: null,
  filename: 'film.mp4',
  input_size: 1000,
  options: null,
  tags: [],
  max_dollars: null,
  cost: null,
  created_at: 1_764_000_000_000,
  updated_at: 1_764_000_000_000,
  started_at: null,
} satisfies Partial<ExportJob>;

type Of<S extends ExportJob['status']> = Extract<ExportJob, { status: S }>;

export const pending = (part: Partial<Of<'pending'>> = {}): Of<'pending'> => ({
  ...base,
  status: 'pending',
  last_failure: null,
  waiting_for: 'renderer',
  wait_reason: null,
  next_attempt_at: null,
  ...part,
});

export const processing = (part: Partial<Of<'processing'>> = {}): Of<'processing'> => ({
  ...base,
  status: 'processing',
  last_failure: null,
  stage: 'rendering',
  message: null,
  fps: null,
  speed: null,
  eta_ms: null,
  eta_p90_ms: null,
  ...part,
});

export const complete = (output: Partial<Of<'complete'>['output']> = {}): Of<'complete'> => ({
  ...base,
  status: 'complete',
  progress: 100,
  completed_at: 1_764_000_009_000,
  output: {
    key: 'out/film.mp4',
    filename: 'film.mp4',
    container: 'mp4',
    content_type: 'video/mp4',
    size: null,
    sha256: null,
    width: null,
    height: null,
    duration_ms: null,
    frames: null,
    ...output,
  },
  output_video_key: 'out/film.mp4',
  output_url: '/api/videos/download/out%2Ffilm.mp4',
  verified: true,
  rendered: null,
});

export const failed = (error: string): Of<'error'> => ({
  ...base,
  status: 'error',
  completed_at: 1_764_000_009_000,
  error,
  error_code: 'encoder_failed',
});

export const cancelled = (): Of<'cancelled'> => ({
  ...base,
  status: 'cancelled',
  completed_at: 1_764_000_009_000,
});
