/** What one block of ffmpeg's `-progress` says; unknown values are absent. */
export interface EncodeProgress {
  /** Frames of the first video output so far. */
  readonly frame: number;
  readonly fps?: number;
  /** Times faster than playing. */
  readonly speed?: number;
  /** Bytes written so far. */
  readonly size?: number;
  readonly ended: boolean;
}

/** Reads `-progress` line by line; ffmpeg marks the end of a block with `progress=`. */
export class ProgressLines {
  #fields = new Map<string, string>();

  /** @returns the block that this line completes, if it does. */
  add(line: string): EncodeProgress | undefined {
    const at = line.indexOf('=');
    if (at < 1) return undefined;
    this.#fields.set(line.slice(0, at).trim(), line.slice(at + 1).trim());
    if (!line.startsWith('progress=')) return undefined;
    const fields = this.#fields;
    this.#fields = new Map();
    const fps = positive(fields.get('fps'));
    const speed = positive(fields.get('speed')?.replace('x', ''));
    const size = positive(fields.get('total_size'));
    return {
      frame: positive(fields.get('frame')) ?? 0,
      ...(fps === undefined ? {} : { fps }),
      ...(speed === undefined ? {} : { speed }),
      ...(size === undefined ? {} : { size }),
      ended: fields.get('progress') === 'end',
    };
  }
}

/** ffmpeg writes `N/A` or 0 for what it does not know yet. */
function positive(text: string | undefined): number | undefined {
  const value = Number(text);
  return Number.isFinite(value) && value > 0 ? value : undefined;
}
