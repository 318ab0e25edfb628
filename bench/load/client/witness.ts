// Responsible for what one viewer hears, and whether it is what a viewer was promised.

/** What went wrong for viewers, counted. */
export interface Tally {
  /** Ends that did not come, and ends that came again. */
  noEnd: number;
  endedAgain: number;
  /** Messages of any kind after the end. */
  afterEnd: number;
  /** `seq` or `progress` was smaller than before. */
  fell: number;
  /** Reports that were acknowledged and not heard. */
  unheard: number;
}

export function noFaults(): Tally {
  return { noEnd: 0, endedAgain: 0, afterEnd: 0, fell: 0, unheard: 0 };
}

const ENDS = new Set(['complete', 'error']);

// Read by search, not by parsing: at a hundred thousand messages a second the client must not be what is
// measured. The first match counts, because each server says these fields before any object.
const TYPE = /"type":"(\w+)"/;
const SEQ = /"seq":(\d+)/;
const PROGRESS = /"progress":([\d.]+)/;
const SENT_AT = /"message":"(\d+)"/;

/** One viewer of one job. */
export class Witness {
  readonly #faults = noFaults();
  #seq = -1;
  #progress = -1;
  #reports = 0;
  #ends = 0;

  /** Takes a message; of a report, returns when it was sent as its `message` says it, else null. */
  hear(text: string): number | null {
    const type = TYPE.exec(text)?.[1] ?? '';
    if (this.hasEnded) this.#faults.afterEnd += 1;
    if (ENDS.has(type)) {
      this.#faults.endedAgain += Number(this.hasEnded);
      this.#ends += 1;
      return null;
    }
    this.#order(text);
    if (type !== 'progress') return null;
    this.#reports += 1;
    return numberIn(text, SENT_AT);
  }

  #order(text: string): void {
    const seq = numberIn(text, SEQ) ?? this.#seq;
    const progress = numberIn(text, PROGRESS) ?? this.#progress;
    if (seq < this.#seq || progress < this.#progress) this.#faults.fell += 1;
    this.#seq = seq;
    this.#progress = progress;
  }

  get hasEnded(): boolean {
    return this.#ends > 0;
  }

  /** Everything that was wrong, given how many reports were acknowledged while it watched. */
  judge(acknowledged: number): Tally {
    return {
      ...this.#faults,
      noEnd: Number(this.#ends === 0),
      unheard: Math.max(0, acknowledged - this.#reports),
    };
  }
}

function numberIn(text: string, pattern: RegExp): number | null {
  const found = pattern.exec(text)?.[1];
  return found === undefined ? null : Number(found);
}
