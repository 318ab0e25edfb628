import type { ExportJob, ViewerRight } from '@export-jobs/protocol';
import type { Settings } from './env.ts';
import { signToken } from './tokens.ts';

const DOWNLOAD_TTL_MS = 60 * 60_000;

/**
 * Makes signed, expiring addresses of outputs: absolute in production, where pages of other origins
 * use them, and on the server's own origin in development, whatever name that has.
 */
export function downloadUrl(settings: Settings): (key: string) => string {
  const origin = settings.DEVELOPMENT === '1' ? '' : settings.PUBLIC_URL;
  return (key) => {
    const exp = Date.now() + DOWNLOAD_TTL_MS;
    const token = signToken(settings.SIGNING_KEYS, 'download', { k: key, exp });
    return `${origin}/api/videos/download/${encodeURIComponent(key)}?token=${token}`;
  };
}

/** A job as somebody with these rights may see it: who may only watch gets no link to the file. */
export function shownTo(
  viewer: { rights: readonly ViewerRight[] },
  job: ExportJob,
  settings: Settings,
): ExportJob {
  if (job.status !== 'complete') return job;
  return viewer.rights.includes('download') ? relink(job, settings) : withoutLink(job);
}

/** The same job without its link. */
export function withoutLink(job: ExportJob): ExportJob {
  return job.status === 'complete' ? { ...job, output_url: '' } : job;
}

/** Links expire, so those of a stored view are made anew. */
export function relink(job: ExportJob, settings: Settings): ExportJob {
  if (job.status !== 'complete') return job;
  return { ...job, output_url: downloadUrl(settings)(job.output_video_key) };
}
