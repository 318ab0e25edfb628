/**
 * Remembers what was computed from a text, of the texts that were used last. For what is asked again
 * with each report, such as whether its token is ours.
 */
export class BoundedCache<T> {
  readonly #limit: number;
  readonly #known = new Map<string, T>();

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** What is remembered, or what `compute` makes of the text. */
  get(text: string, compute: (text: string) => T): T {
    const known = this.#known.get(text);
    if (known !== undefined) return known;
    const made = compute(text);
    const [oldest] = this.#known.keys();
    if (this.#known.size >= this.#limit && oldest !== undefined) this.#known.delete(oldest);
    this.#known.set(text, made);
    return made;
  }
}
