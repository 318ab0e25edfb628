/** When the packets of one stream begin and end, s, on the file's own clock. */
export class Timeline {
  readonly starts: number[] = [];
  start = Infinity;
  end = -Infinity;
  lastStart = -Infinity;
  count = 0;

  add(start: number, duration: number): void {
    this.count += 1;
    this.starts.push(start);
    this.start = Math.min(this.start, start);
    this.lastStart = Math.max(this.lastStart, start);
    this.end = Math.max(this.end, start + duration);
  }

  /** The most usual time between two frames, s; undefined with fewer than two. */
  medianStep(): number | undefined {
    const sorted = Float64Array.from(this.starts).toSorted();
    const steps = sorted.slice(1).map((start, i) => start - (sorted[i] ?? start));
    return steps.filter((step) => step > 0).toSorted()[Math.floor(steps.length / 2)];
  }
}

/** Collects ffprobe's packet lines (`-of compact`), so that a source's true length is known. */
export class Packets {
  readonly #streams = new Map<number, Timeline>();
  readonly #usualDuration: ReadonlyMap<number, number>;

  /** @param usualDuration s, by stream: for packets that do not tell theirs. */
  constructor(usualDuration: ReadonlyMap<number, number>) {
    this.#usualDuration = usualDuration;
  }

  /** Takes `stream_index=0|pts_time=…|dts_time=…|duration_time=…|flags=K_`. */
  add(line: string): void {
    const fields = new Map(line.split('|').map((field) => split(field)));
    const index = Number(fields.get('stream_index'));
    const start = seconds(fields.get('pts_time')) ?? seconds(fields.get('dts_time'));
    // A discarded packet is decoded for others' sake and never shown.
    if (!Number.isInteger(index) || start === undefined || fields.get('flags')?.includes('D')) {
      return;
    }
    const duration = seconds(fields.get('duration_time')) ?? this.#usualDuration.get(index) ?? 0;
    this.of(index).add(start, duration);
  }

  of(index: number): Timeline {
    const known = this.#streams.get(index);
    if (known) return known;
    const fresh = new Timeline();
    this.#streams.set(index, fresh);
    return fresh;
  }

  /** The earliest start of all streams, s. */
  get start(): number {
    return Math.min(...[...this.#streams.values()].map((stream) => stream.start));
  }

  /** The latest end of these streams, or of all, s. */
  end(indexes: Iterable<number> = this.#streams.keys()): number {
    return Math.max(...[...indexes].map((index) => this.of(index).end));
  }
}

function split(field: string): [string, string] {
  const at = field.indexOf('=');
  return [field.slice(0, at), field.slice(at + 1)];
}

function seconds(text: string | undefined): number | undefined {
  const value = Number(text);
  return text === undefined || text === '' || !Number.isFinite(value) ? undefined : value;
}
