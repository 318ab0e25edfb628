import { open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { hasSystemCode, RenderFailure } from './failure.ts';
import { requireSpace } from './job-folder.ts';
import { backoff, pause } from './runpod/pause.ts';
import { Fenced, Unreachable } from './server-reply.ts';
import type { Origin, Part } from './source/origin.ts';

/** Tries in a row that brought nothing new, before the source counts as unreachable. */
const MAX_FRUITLESS = 8;
/** A connection that brings nothing for this long is given up, ms. */
const IDLE_MS = 20_000;
/** The longest that a timer of Node's waits, ms. */
const MAX_TIMER_MS = 2 ** 31 - 1;

export interface FetchSourceOptions {
  readonly origin: Origin;
  readonly path: string;
  readonly signal: AbortSignal;
  /** Called with the bytes received so far, and with how many there are as far as that is known. */
  readonly onBytes?: (bytes: number, total: number | undefined) => void;
  /** First pause after a cut, ms. Default 500. */
  readonly retryMs?: number;
  /** Default 20,000. */
  readonly idleMs?: number;
}

/** What has been written: the source's first bytes. */
interface Received {
  bytes: number;
}

/**
 * Downloads the source to a file, going on where a broken connection left off, and never mixing two
 * versions of it.
 * @throws RenderFailure `input_empty`, `disk_full`, or as its origin calls what went wrong; Fenced; or the
 *   signal's reason.
 */
export async function fetchSource(options: FetchSourceOptions): Promise<void> {
  const { origin, path, signal, retryMs = 500 } = options;
  if (origin.limit === 0) throw isEmpty();
  const file = await open(path, 'w');
  const over = AbortSignal.timeout(Math.min(origin.limitMs, MAX_TIMER_MS));
  try {
    // Whoever runs ffmpeg must be able to read it; its folder is shut to all others.
    await file.chmod(0o644);
    const received: Received = { bytes: 0 };
    let most = 0;
    for (let fruitless = 0; ;) {
      const cut = await fetchRest(options, file, received, over);
      if (cut === undefined) break;
      fruitless = received.bytes > most ? 0 : fruitless + 1;
      most = Math.max(most, received.bytes);
      if (fruitless >= MAX_FRUITLESS) {
        const { unreachable } = origin.failures;
        throw new RenderFailure(unreachable, 'the source cannot be read', { cause: cut });
      }
      await pause(backoff(fruitless, retryMs, 10_000), AbortSignal.any([signal, over]));
      signal.throwIfAborted();
    }
    if (received.bytes === 0) throw isEmpty();
    // An earlier version may have been longer.
    await file.truncate(received.bytes);
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
  received: Received,
  over: AbortSignal,
): Promise<unknown> {
  const { origin, signal, path, idleMs = IDLE_MS } = options;
  const idle = new AbortController();
  const watch = setTimeout(() => idle.abort(new Unreachable('the source sends nothing')), idleMs);
  try {
    const any = AbortSignal.any([signal, over, idle.signal]);
    const part = await origin.open(received.bytes, any);
    const { total = 0 } = part;
    if (total > origin.limit) throw tooLong(origin);
    await requireSpace(dirname(path), total - part.from);
    await receive(part, options, file, received, () => watch.refresh());
    return received.bytes < total ? new Unreachable('the source was cut off') : undefined;
  } catch (error) {
    signal.throwIfAborted();
    if (over.aborted) throw new RenderFailure(origin.failures.tooSlow, 'the source is too slow');
    const isFinal = error instanceof RenderFailure || error instanceof Fenced;
    if (isFinal || hasSystemCode(error, 'ENOSPC')) throw error;
    return error;
  } finally {
    clearTimeout(watch);
    // Of what was not read to its end nothing more may come.
    idle.abort();
  }
}

async function receive(
  { body, from, total }: Part,
  { origin, onBytes }: FetchSourceOptions,
  file: FileHandle,
  received: Received,
  onLife: () => void,
): Promise<void> {
  received.bytes = from;
  for await (const chunk of body) {
    onLife();
    if (received.bytes + chunk.length > (total ?? origin.limit)) throw tooLong(origin);
    await writeAll(file, chunk, received.bytes);
    received.bytes += chunk.length;
    onBytes?.(received.bytes, total);
  }
}

function tooLong({ failures }: Origin): RenderFailure {
  return new RenderFailure(failures.tooLong, 'the source is too long');
}

function isEmpty(): RenderFailure {
  return new RenderFailure('input_empty', 'the source has no bytes');
}

async function writeAll(file: FileHandle, chunk: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < chunk.length;) {
    const { bytesWritten } = await file.write(chunk, done, chunk.length - done, position + done);
    done += bytesWritten;
  }
}
