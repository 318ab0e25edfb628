// Responsible for what was measured: one figure of each name per contestant and repeat.
import { median } from '../lib/report.ts';

/** A name of a figure. */
export type Figure = string;

export class Results {
  readonly #figures = new Map<string, Map<number, number>>();
  readonly #reference: string;

  /** `reference` is the contestant that ratios are relative to. */
  constructor(reference: string) {
    this.#reference = reference;
  }

  add(contestant: string, repeat: number, figure: Figure, value: number): void {
    const key = keyOf(contestant, figure);
    const series = this.#figures.get(key) ?? new Map<number, number>();
    this.#figures.set(key, series.set(repeat, value));
  }

  /** All repeats. */
  of(contestant: string, figure: Figure): number[] {
    return [...this.#series(contestant, figure).values()];
  }

  /** The median of the ratios to the reference, repeat by repeat; null when there is none. */
  ratio(contestant: string, figure: Figure): number | null {
    const reference = this.#series(this.#reference, figure);
    const ratios = [...this.#series(contestant, figure)].flatMap(([repeat, value]) => {
      const base = reference.get(repeat);
      return base === undefined ? [] : [value / base];
    });
    return ratios.length === 0 ? null : median(ratios);
  }

  #series(contestant: string, figure: Figure): ReadonlyMap<number, number> {
    return this.#figures.get(keyOf(contestant, figure)) ?? new Map<number, number>();
  }
}

function keyOf(contestant: string, figure: Figure): string {
  return `${contestant}\n${figure}`;
}
