/** A part of a file, bytes. */
export interface ByteRange {
  offset: number;
  length: number;
}

/**
 * The one byte range that a GET asks for (RFC 9110 §14), or null for the whole file. A form that is
 * not understood, several ranges, or an `If-Range` of another version get the whole file.
 */
export function rangeOf(
  headers: Headers,
  etag: string,
  size: number,
): ByteRange | 'unsatisfiable' | null {
  const ifRange = headers.get('if-range');
  if (ifRange !== null && ifRange !== etag) return null;
  const range = headers.get('range') ?? '';
  const tail = /^bytes=-(\d+)$/.exec(range)?.[1];
  if (tail !== undefined) return suffix(Number(tail), size);
  const [, first, last = ''] = /^bytes=(\d+)-(\d*)$/.exec(range) ?? [];
  return first === undefined ? null : slice(Number(first), last, size);
}

/** The position of a range's last byte. */
export function lastByte({ offset, length }: ByteRange): number {
  return offset + length - 1;
}

function suffix(length: number, size: number): ByteRange | 'unsatisfiable' {
  if (length === 0 || size === 0) return 'unsatisfiable';
  const offset = Math.max(0, size - length);
  return { offset, length: size - offset };
}

function slice(offset: number, last: string, size: number): ByteRange | 'unsatisfiable' | null {
  if (last !== '' && Number(last) < offset) return null;
  if (offset >= size) return 'unsatisfiable';
  const end = last === '' ? size : Math.min(Number(last) + 1, size);
  return { offset, length: end - offset };
}
