import type { ExportJob } from '@export-jobs/client';
import type { Memory } from './memory.ts';

/** Frames in the picture of a filmstrip. */
export const FRAMES = 12;

/** One picture of `FRAMES` frames side by side, and which of them to show, in order. */
export interface Strip {
  url: string;
  frames: readonly number[];
}

/** The filmstrip of a video, from the share `from` of its length to the share `to` (0–1). */
export function stripOf(url: string | null, from = 0, to = 1): Strip | null {
  if (url === null) return null;
  const frames = Array.from({ length: FRAMES }, (_, cell) =>
    Math.min(FRAMES - 1, Math.floor(from * FRAMES + (cell + 0.5) * (to - from))),
  );
  return { url, frames };
}

/** What is remembered of a job's video, cut as its export is. */
export function stripOfJob(job: ExportJob, memory: Memory | null): Strip | null {
  const url = memory?.strip ?? null;
  const duration = memory?.facts?.duration;
  const trim = job.options?.trim;
  if (trim === undefined || duration === undefined) return stripOf(url);
  return stripOf(url, trim.start / duration, Math.min(1, (trim.end ?? duration) / duration));
}
