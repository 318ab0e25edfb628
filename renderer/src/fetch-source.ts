import { open, type FileHandle } from 'node:fs/promises';
import type { ClaimReply } from '@export-jobs/protocol';
import { hasSystemCode, RenderFailure } from './failure.ts';
import { backoff, pause } from './runpod/pause.ts';
import { Fenced, refusalOf, Unreachable } from './server-reply.ts';

/** Tries in a row that brought not one byte, before the source counts as unreachable. */
const MAX_FRUITLESS = 8;
/** A connection that brings nothing for this long is given up, ms. */
const IDLE_MS = 20_000;

export interface FetchSourceOptions {
  readonly source: Pick<ClaimReply['source'], 'url' | 'size' | 'etag'>;
  readonly token: string;
  readonly path: string;
  readonly signal: AbortSignal;
  /** Called with the bytes received so far. */
  readonly onBytes?: (bytes: number) => void;
  /** First pause after a cut, ms. Default 500. */
  readonly retryMs?: number;
  /** Default 20,000. */
  readonly idleMs?: number;
}

/**
 * Downloads the source to a file, going on where a broken connection left off, and never mixing two
 * versions of it.
 * @throws RenderFailure `input_empty`, `input_gone`, `source_fetch_failed` or `disk_full`; Fenced;
 *   or the signal's reason.
 */
export async function fetchSource(options: FetchSourceOptions): Promise<void> {
  const { source, path, signal, retryMs = 500 } = options;
  if (source.size === 0) throw new RenderFailure('input_empty', 'the source has no bytes');
  const file = await open(path, 'w');
  try {
    const received = { bytes: 0 };
    for (let fruitless = 0; received.bytes < source.size;) {
      const before = received.bytes;
      const cut = await fetchRest(options, file, received);
      if (received.bytes >= source.size) break;
      fruitless = received.bytes > before ? 0 : fruitless + 1;
      if (fruitless >= MAX_FRUITLESS) {
        throw new RenderFailure('source_fetch_failed', 'the source cannot be read', { cause: cut });
      }
      await pause(backoff(fruitless, retryMs, 10_000), signal);
      signal.throwIfAborted();
    }
  } catch (error) {
    if (hasSystemCode(error, 'ENOSPC')) {
      throw new RenderFailure('disk_full', 'no space left for the source', { cause: error });
    }
    throw error;
  } finally {
    await file.close();
  }
}

/** One request for what is still missing. @returns what cut it short, to be repaired by another. */
async function fetchRest(
  options: FetchSourceOptions,
  file: FileHandle,
  received: { bytes: number },
): Promise<unknown> {
  const { source, signal, idleMs = IDLE_MS } = options;
  const idle = new AbortController();
  const giveUp = () => idle.abort(new Unreachable('the source sends nothing'));
  let timer = setTimeout(giveUp, idleMs);
  try {
    const body = await request(options, received, AbortSignal.any([signal, idle.signal]));
    for await (const chunk of body) {
      clearTimeout(timer);
      timer = setTimeout(giveUp, idleMs);
      if (received.bytes + chunk.length > source.size) {
        throw new RenderFailure('input_gone', 'the source is longer than it was said to be');
      }
      await writeAll(file, chunk, received.bytes);
      received.bytes += chunk.length;
      options.onBytes?.(received.bytes);
    }
    return undefined;
  } catch (error) {
    signal.throwIfAborted();
    const isFinal = error instanceof RenderFailure || error instanceof Fenced;
    if (isFinal || hasSystemCode(error, 'ENOSPC')) throw error;
    return error;
  } finally {
    clearTimeout(timer);
  }
}

async function request(
  { source, token }: FetchSourceOptions,
  received: { bytes: number },
  signal: AbortSignal,
): Promise<AsyncIterable<Uint8Array>> {
  const { etag } = source;
  const headers: Record<string, string> = {
    authorization: `Bearer ${token}`,
    'accept-encoding': 'identity',
    'if-match': etag.includes('"') ? etag : `"${etag}"`,
  };
  if (received.bytes > 0) headers['range'] = `bytes=${received.bytes}-`;
  const response = await fetch(source.url, { headers, signal, redirect: 'error' });
  if (response.status === 200) received.bytes = 0;
  else if (response.status !== 206) throw refused(response.status, await response.text());
  else if (!startsAt(response.headers.get('content-range'), received.bytes)) {
    await response.body?.cancel();
    throw new Unreachable('the source answered with another range');
  }
  if (!response.body) throw new Unreachable('the source answered without a body');
  return response.body;
}

function refused(status: number, body: string): Error {
  const refusal = refusalOf(status, body);
  if (refusal instanceof Fenced || refusal instanceof Unreachable) return refusal;
  const gone = [404, 410, 412, 416].includes(status);
  const code = gone ? 'input_gone' : 'source_fetch_failed';
  return new RenderFailure(code, `the source was refused with ${status}`);
}

function startsAt(contentRange: string | null, offset: number): boolean {
  return contentRange?.startsWith(`bytes ${offset}-`) ?? false;
}

async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position + done);
    done += bytesWritten;
  }
}
