/** Counts by name, and who wants to hear of each. */
export class Tally {
  readonly counts = new Map<string, number>();
  readonly #tell: (text: string) => void;

  constructor(tell: (text: string) => void = () => undefined) {
    this.#tell = tell;
  }

  add(name: string, detail = ''): void {
    this.counts.set(name, (this.counts.get(name) ?? 0) + 1);
    this.#tell(`${name}${detail && ` ${detail}`}`);
  }
}
