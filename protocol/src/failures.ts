/**
 * Why an attempt or a job failed. The server's table decides whether it is tried again: `retry`
 * says which budget the failure is charged to, `never` ends the job at once. `sentence` is what a
 * viewer reads: it names what to do and holds nothing of the renderer's own text, unless `explained`
 * says that the renderer's reason is worth adding.
 */
interface FailureRule {
  readonly retry: 'never' | 'attempt' | 'platform' | 'outage';
  readonly sentence: string;
  readonly explained?: true;
}

export const FAILURES = {
  // The input or the request is at fault: another try would fail in the same way.
  input_invalid: { retry: 'never', sentence: 'This file is not a video that can be read.' },
  input_empty: { retry: 'never', sentence: 'This file is empty.' },
  input_damaged: {
    retry: 'never',
    sentence: 'This video is damaged or cut off. Save or record it again and try once more.',
  },
  input_unsupported: { retry: 'never', sentence: 'This kind of video is not supported.' },
  input_no_video: { retry: 'never', sentence: 'This file has sound but no picture.' },
  input_gone: {
    retry: 'never',
    sentence: 'The uploaded file is no longer there. Upload it again.',
  },
  input_too_large: { retry: 'never', sentence: 'This file is larger than it may be.' },
  source_refused: {
    retry: 'never',
    sentence: 'The address of this file leads to a place that must not be read.',
  },
  source_unavailable: {
    retry: 'never',
    sentence: 'The server of this file does not hand it out, or too slowly. Check the link.',
  },
  options_invalid: {
    retry: 'never',
    sentence: 'These export settings do not fit this video.',
    explained: true,
  },
  encoder_unavailable: {
    retry: 'never',
    sentence: 'The renderer has no encoder for this format. Choose another format.',
  },
  spend_cap_reached: { retry: 'never', sentence: 'The export has cost as much as it may.' },
  // The attempt went wrong: charged to the job's own attempts.
  renderer_error: { retry: 'attempt', sentence: 'The renderer reported an error.' },
  source_unreachable: {
    retry: 'attempt',
    sentence: 'The server of this file could not be reached, or broke off.',
  },
  encoder_failed: { retry: 'attempt', sentence: 'The encoder stopped unexpectedly.' },
  encoder_stalled: { retry: 'attempt', sentence: 'The encoder stopped making progress.' },
  out_of_memory: { retry: 'attempt', sentence: 'The renderer ran out of memory.' },
  disk_full: { retry: 'attempt', sentence: 'The renderer ran out of disk space.' },
  output_rejected: { retry: 'attempt', sentence: 'The rendered file did not pass its checks.' },
  attempt_timeout: { retry: 'attempt', sentence: 'This attempt took too long.' },
  // The platform lost the attempt: a budget of its own, so that a bad host costs the user nothing.
  renderer_lost: { retry: 'platform', sentence: 'The renderer went silent.' },
  renderer_shutdown: { retry: 'platform', sentence: 'The renderer was shut down.' },
  start_timeout: { retry: 'platform', sentence: 'No renderer picked the job up in time.' },
  dispatch_failed: { retry: 'platform', sentence: 'The render service did not take the job.' },
  // Storage was away: tried again for as long as an outage may last.
  source_fetch_failed: { retry: 'outage', sentence: 'The renderer could not read the upload.' },
  upload_failed: { retry: 'outage', sentence: 'The rendered file could not be stored.' },
  job_timeout: { retry: 'never', sentence: 'The export took longer than it may.' },
} as const satisfies Record<string, FailureRule>;

export type FailureCode = keyof typeof FAILURES;

/** Every failure code, for schemas. */
export const FAILURE_CODES: readonly [FailureCode, ...FailureCode[]] = [
  'renderer_error',
  ...Object.keys(FAILURES)
    .filter(isFailureCode)
    .filter((code) => code !== 'renderer_error'),
];

/** Whether a text is a code of the table. */
export function isFailureCode(code: string): code is FailureCode {
  return Object.hasOwn(FAILURES, code);
}
