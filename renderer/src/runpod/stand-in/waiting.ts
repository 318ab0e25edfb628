import { pause } from '../pause.ts';

/** Lets calls wait for a change, as long polls do. */
export class Waiting {
  readonly #closing: AbortSignal;
  #change = new AbortController();

  /** @param closing ends every wait. */
  constructor(closing: AbortSignal) {
    this.#closing = closing;
    closing.addEventListener('abort', () => this.wake());
  }

  /** Something changed: all that wait look again, in the order in which they came. */
  wake(): void {
    const change = this.#change;
    this.#change = new AbortController();
    change.abort();
  }

  /** Asks at every change until there is an answer, `ms` are over, or the caller has left. */
  async until<T>(ms: number, left: AbortSignal, ask: () => T | undefined): Promise<T | undefined> {
    const end = Date.now() + ms;
    while (!left.aborted && !this.#closing.aborted) {
      const answer = ask();
      const rest = end - Date.now();
      if (answer !== undefined || rest <= 0) return answer;
      await pause(rest, AbortSignal.any([left, this.#change.signal]));
    }
    return undefined;
  }
}
