import { createHash } from 'node:crypto';
import { piecesOf, type OutputFile } from './output-file.ts';

/** What is said of a file before it is sent. */
export interface FileDigest {
  /** Lower-case hex. */
  readonly sha256: string;
  /** The MD5 of each part, in base 64. */
  readonly parts: readonly string[];
  /** The MD5 of those, in hex, and how many they are: what R2 reckons of a file that came by parts. */
  readonly checksum: string;
}

/** Reads a file once, without holding it in memory; parts of `partSize` bytes. */
export async function digestOf(
  file: OutputFile,
  partSize: number,
  signal: AbortSignal,
): Promise<FileDigest> {
  const whole = createHash('sha256');
  const ofParts = createHash('md5');
  const parts: string[] = [];
  let part = createHash('md5');
  let room = partSize;
  const closePart = () => {
    const md5 = part.digest();
    ofParts.update(md5);
    parts.push(md5.toString('base64'));
    part = createHash('md5');
    room = partSize;
  };
  for await (const chunk of piecesOf(file, 0, file.size)) {
    signal.throwIfAborted();
    whole.update(chunk);
    for (let rest = chunk; rest.length > 0;) {
      const piece = rest.subarray(0, room);
      part.update(piece);
      room -= piece.length;
      rest = rest.subarray(piece.length);
      if (room === 0) closePart();
    }
  }
  if (room < partSize || parts.length === 0) closePart();
  return {
    sha256: whole.digest('hex'),
    parts,
    checksum: `${ofParts.digest('hex')}-${parts.length}`,
  };
}
