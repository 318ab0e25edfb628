import type { Api } from './api.ts';
import type { JobResult } from './handler.ts';
import { insist, isTaken, type Insistence } from './insist.ts';

/** The most that one chunk may be, as JSON (RunPod's documentation of `/stream`). */
export const MAX_CHUNK_BYTES = 1_000_000;

export interface StreamSetting extends Insistence {
  readonly api: Api;
  /** Whether the result repeats all chunks. */
  readonly aggregate: boolean;
}

/**
 * Sends each chunk when it comes, in order; the next is asked for once the last was taken.
 * @returns the result of the job.
 */
export async function sendStream(
  jobId: string,
  chunks: AsyncIterable<unknown>,
  setting: StreamSetting,
): Promise<JobResult> {
  const { api, aggregate } = setting;
  if (!api.canStream) return { error: 'streams need RUNPOD_WEBHOOK_POST_STREAM, which is not set' };
  const sent: unknown[] = [];
  // To leave this loop early ends a generator where it stands, its `finally` included.
  for await (const chunk of chunks) {
    const body = JSON.stringify({ output: chunk ?? null });
    const bytes = Buffer.byteLength(body);
    if (bytes > MAX_CHUNK_BYTES) {
      return { error: `a chunk of ${bytes} bytes is larger than ${MAX_CHUNK_BYTES}` };
    }
    const status = await insist((signal) => api.chunk(jobId, body, signal), setting);
    if (!isTaken(status)) return { error: `a chunk could not be delivered (${status})` };
    if (aggregate) sent.push(chunk);
  }
  return { output: sent };
}
