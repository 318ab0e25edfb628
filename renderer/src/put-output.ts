import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { request as requestHttp, type IncomingMessage } from 'node:http';
import { request as requestHttps } from 'node:https';
import { finished, pipeline } from 'node:stream/promises';
import type { ClaimReply, OutputManifest } from '@export-jobs/protocol';
import { RenderFailure } from './failure.ts';
import { backoff, pause } from './runpod/pause.ts';
import { Fenced, refusalOf, Refused, Unreachable } from './server-reply.ts';

const MAX_TRIES = 8;
/** A connection on which nothing moves for this long is given up, ms. */
const IDLE_MS = 30_000;

export interface PutOutputOptions {
  readonly output: Pick<ClaimReply['output'], 'url' | 'content_type'>;
  readonly token: string;
  readonly path: string;
  /** Stored with the file, and compared with it by the server. */
  readonly manifest: OutputManifest;
  readonly signal: AbortSignal;
  /** Called with the bytes sent so far in this try. */
  readonly onBytes?: (bytes: number) => void;
  /** First pause after a failure, ms. Default 500. */
  readonly retryMs?: number;
}

/** The SHA-256 of a file as lower-case hex, without holding the file in memory. */
export async function sha256Of(path: string, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1024 * 1024 }), hash, { signal });
  return hash.digest('hex');
}

/**
 * Stores the file. When an earlier try had stored it and only its answer was lost, that is success.
 * @throws RenderFailure `upload_failed`; Fenced; or the signal's reason.
 */
export async function putOutput(options: PutOutputOptions): Promise<void> {
  const { signal, retryMs = 500 } = options;
  for (let failures = 0; ;) {
    try {
      await put(options);
      return;
    } catch (error) {
      signal.throwIfAborted();
      if (error instanceof Fenced) throw error;
      if (error instanceof Refused && error.status === 412) return;
      failures += 1;
      if (error instanceof Refused || failures >= MAX_TRIES) {
        throw new RenderFailure('upload_failed', 'the output could not be stored', {
          cause: error,
        });
      }
      await pause(backoff(failures - 1, retryMs, 10_000), signal);
      signal.throwIfAborted();
    }
  }
}

async function put(options: PutOutputOptions): Promise<void> {
  const { status, text } = await exchange(options);
  if (status < 200 || status > 299) throw refusalOf(status, text);
}

/** One request. A refusal that comes before the body is through is heard, not lost in a reset. */
async function exchange({ output, token, path, manifest, signal, onBytes }: PutOutputOptions) {
  const url = new URL(output.url);
  const request = (url.protocol === 'https:' ? requestHttps : requestHttp)(url, {
    method: 'PUT',
    signal,
    timeout: IDLE_MS,
    headers: {
      authorization: `Bearer ${token}`,
      'content-type': output.content_type,
      'content-length': manifest.size,
      'x-export-manifest': JSON.stringify(manifest),
    },
  });
  request.once('timeout', () => request.destroy(new Unreachable('the upload does not move')));
  const file = createReadStream(path, { highWaterMark: 256 * 1024 });
  let sent = 0;
  file.on('data', (chunk) => {
    sent += chunk.length;
    onBytes?.(sent);
  });
  const answered = new Promise<IncomingMessage>((resolve, reject) => {
    request.once('response', resolve).once('error', reject);
  });
  const sending = pipeline(file, request).catch(() => undefined);
  try {
    const response = await answered;
    const text = await readText(response);
    return { status: response.statusCode ?? 0, text };
  } finally {
    file.destroy();
    request.destroy();
    await sending;
  }
}

async function readText(response: IncomingMessage): Promise<string> {
  let text = '';
  response.setEncoding('utf8').on('data', (part) => {
    if (text.length < 65_536) text += String(part);
  });
  await finished(response);
  return text;
}
