// Responsible for holding on to what a tool has made: opened once, it stays the same file, whatever is done to its name.
import { constants, lstat, open, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { RenderFailure } from './failure.ts';

/** A file that is open, and its size in bytes. */
export interface OutputFile {
  readonly handle: FileHandle;
  readonly size: number;
}

const PIECE = 256 * 1024;

/**
 * Opens what a tool has made in its folder. Not a link, by which one that was taken over would have us send what is not
 * its; nor a pipe or the like.
 * @returns to be closed by the caller.
 * @throws RenderFailure `output_rejected`.
 */
export async function openOutput(path: string): Promise<OutputFile> {
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK } = constants;
  const handle = await open(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK).catch((cause: unknown) => {
    throw new RenderFailure('output_rejected', 'the output cannot be opened', { cause });
  });
  try {
    const { uid: owner } = await lstat(dirname(path));
    const seen = await handle.stat();
    const isOwn = seen.isFile() && seen.nlink === 1 && seen.uid === owner;
    if (isOwn && seen.size > 0) return { handle, size: seen.size };
    throw new RenderFailure('output_rejected', 'the output is not a file of its own, or empty');
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** The bytes of a file from `start` on: `size` of them, or fewer at its end. */
export async function* piecesOf(
  { handle }: Pick<OutputFile, 'handle'>,
  start: number,
  size: number,
): AsyncGenerator<Buffer> {
  for (let at = start; at < start + size;) {
    const buffer = Buffer.allocUnsafe(Math.min(PIECE, start + size - at));
    const { bytesRead } = await handle.read({ buffer, position: at });
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
    at += bytesRead;
  }
}
