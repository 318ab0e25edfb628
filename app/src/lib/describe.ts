import type { Codec, Container, ExportJob, ExportOptions } from '@export-jobs/client';
import { bytes, timecode } from './format.ts';

export const CONTAINER_NAMES: Record<Container, string> = {
  mp4: 'MP4',
  webm: 'WebM',
  mov: 'MOV',
  gif: 'GIF',
};

/** Keeps a number and its unit on one line. */
const NO_BREAK = '\u00a0';

export const CODEC_NAMES: Record<Codec, string> = {
  h264: 'H.264',
  hevc: 'HEVC',
  vp9: 'VP9',
  av1: 'AV1',
};

/** Whether a job was made and reported by hand: nobody checked that there is a file. */
export function byHand(job: ExportJob): boolean {
  return job.options === null || (job.status === 'complete' && !job.verified);
}

/** "MP4 · H.264 · at most 1080p", from what was asked for: nothing is made larger than it was. */
export function optionsLine(options: ExportOptions | null): string {
  if (options === null) return 'Made by hand';
  const { width, height, codec, container } = options;
  const size =
    width !== undefined && height !== undefined
      ? `${width} × ${height}`
      : height !== undefined
        ? `at most ${height}p`
        : width !== undefined
          ? `at most ${width} px wide`
          : 'source size';
  return [CONTAINER_NAMES[container], codec && CODEC_NAMES[codec], size]
    .filter(Boolean)
    .join(' · ');
}

/** "1920 × 1080 · 0:10.0 · 4.2 MB", from what came out. */
export function outputLine({ output }: Extract<ExportJob, { status: 'complete' }>): string {
  return [
    output.width !== null && output.height !== null && `${output.width} × ${output.height}`,
    output.duration_ms !== null && timecode(output.duration_ms / 1000),
    output.size !== null && bytes(output.size),
  ]
    .filter((part) => part !== false)
    .map((part) => part.replaceAll(' ', NO_BREAK))
    .join(' · ');
}

/** What the list says of a job. */
export function jobLine(job: ExportJob): string {
  if (job.status !== 'complete') return optionsLine(job.options);
  return byHand(job) ? 'Made by hand · not checked' : outputLine(job);
}
