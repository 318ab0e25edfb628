import type { Memory } from './memory.ts';

/** What is known of a video before it is exported. Seconds and pixels. */
export interface Facts {
  duration: number;
  width: number;
  height: number;
}

/** The video that the next export is made from. */
export interface Source {
  filename: string;
  /** Bytes; null when only the server knows. */
  size: number | null;
  file: File | null;
  /** An address of the file for this page, for preview. */
  url: string | null;
  /** Set once the server has the bytes, so that they are sent only once. */
  uploadId: string | null;
  /** Null while unknown, or when this browser cannot read the file. */
  facts: Facts | null;
  /** Frames side by side in one picture, as a data URL. */
  strip: string | null;
  probing: boolean;
}

export function sourceOfFile(file: File): Source & { url: string } {
  return {
    filename: file.name === '' ? 'video' : file.name,
    size: file.size,
    file,
    url: URL.createObjectURL(file),
    uploadId: null,
    facts: null,
    strip: null,
    probing: true,
  };
}

/** A video that the server still has from an earlier export of this browser. */
export function sourceOfMemory(
  filename: string | null,
  size: number | null,
  memory: Memory,
): Source {
  return {
    filename: filename ?? 'video',
    size,
    file: null,
    url: null,
    uploadId: memory.uploadId,
    facts: memory.facts,
    strip: memory.strip,
    probing: false,
  };
}
