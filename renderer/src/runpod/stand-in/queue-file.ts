import { chmod, readFile, rename, writeFile } from 'node:fs/promises';
import * as v from 'valibot';
import { QueueState } from './queue.ts';

/** The queue's state on disk: a small JSON file that is only ever replaced whole. */
export class QueueFile {
  readonly #path: string | undefined;
  #writing: Promise<void> = Promise.resolve();
  #next: QueueState | undefined;

  constructor(path: string | undefined) {
    this.#path = path;
  }

  /** @throws when the file exists and is not a queue's. */
  async load(): Promise<QueueState> {
    const empty = { jobs: [], stops: [], retried: 0 };
    if (this.#path === undefined) return empty;
    try {
      return v.parse(QueueState, JSON.parse(await readFile(this.#path, 'utf8')));
    } catch (error) {
      if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return empty;
      throw new Error(`${this.#path} is not the state of a queue; remove it to start afresh`, {
        cause: error,
      });
    }
  }

  /** Resolves when this state, or a later one, is on disk. */
  async save(state: QueueState): Promise<void> {
    const path = this.#path;
    if (path === undefined) return;
    const queued = this.#next !== undefined;
    this.#next = state;
    if (!queued) this.#writing = this.#writing.catch(() => undefined).then(() => this.#write(path));
    await this.#writing;
  }

  async #write(path: string): Promise<void> {
    const text = JSON.stringify(this.#next);
    this.#next = undefined;
    const temporary = `${path}.${process.pid}.tmp`;
    // Inputs hold the tokens of jobs, so nobody else on this machine may read them.
    await writeFile(temporary, text, { mode: 0o600 });
    await chmod(temporary, 0o600);
    await rename(temporary, path);
  }
}
