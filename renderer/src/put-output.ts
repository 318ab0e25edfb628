import type { ClaimReply, OutputManifest } from '@export-jobs/protocol';
import { RenderFailure } from './failure.ts';
import type { FileDigest } from './file-digest.ts';
import { putFile } from './http-put.ts';
import type { OutputFile } from './output-file.ts';
import { OutputParts } from './output-parts.ts';
import { backoff, pause } from './runpod/pause.ts';
import { Fenced, refusalOf, Refused } from './server-reply.ts';

const MAX_TRIES = 8;

export interface PutOutputOptions {
  readonly output: Pick<ClaimReply['output'], 'url' | 'content_type' | 'parts'>;
  readonly token: string;
  readonly file: Pick<OutputFile, 'handle'>;
  /** Stored with the file, and compared with it by the server. */
  readonly manifest: OutputManifest;
  readonly digest: Pick<FileDigest, 'parts' | 'checksum'>;
  readonly signal: AbortSignal;
  /** Called with the bytes sent so far; what is sent again is taken back first. */
  readonly onBytes?: (bytes: number) => void;
  /** First pause after a failure, ms. Default 500. */
  readonly retryMs?: number;
}

/**
 * Stores the file, by parts when it is large. When an earlier try had stored it and only its answer was lost,
 * that is success.
 * @throws RenderFailure `upload_failed`; Fenced; or the signal's reason.
 */
export async function putOutput(options: PutOutputOptions): Promise<void> {
  const { output, manifest, signal, retryMs = 500 } = options;
  const isLarge = output.parts !== undefined && manifest.size > output.parts.size;
  const insist: Insist = (run, within = signal) => insistOn(run, within, retryMs);
  try {
    await (isLarge ? new OutputParts(options, insist).send() : insist(() => putWhole(options)));
  } catch (error) {
    signal.throwIfAborted();
    if (error instanceof Fenced) throw error;
    if (error instanceof Refused && error.status === 412) return;
    throw new RenderFailure('upload_failed', 'the output could not be stored', { cause: error });
  }
}

/** Repeats a call while that may help. */
export type Insist = <T>(run: () => Promise<T>, signal?: AbortSignal) => Promise<T>;

async function insistOn<T>(
  run: () => Promise<T>,
  signal: AbortSignal,
  retryMs: number,
): Promise<T> {
  for (let failures = 1; ; failures += 1) {
    try {
      return await run();
    } catch (error) {
      signal.throwIfAborted();
      const isFinal = error instanceof Fenced || error instanceof Refused;
      if (isFinal || failures >= MAX_TRIES) throw error;
      await pause(backoff(failures - 1, retryMs, 10_000), signal);
      signal.throwIfAborted();
    }
  }
}

async function putWhole(options: PutOutputOptions): Promise<void> {
  const { output, token, file, manifest, signal, onBytes } = options;
  const { status, text } = await putFile({
    url: output.url,
    file,
    offset: 0,
    size: manifest.size,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': output.content_type,
      'x-export-manifest': JSON.stringify(manifest),
    },
    signal,
    ...(onBytes && { onBytes }),
  });
  if (status < 200 || status > 299) throw refusalOf(status, text);
}
