import path from 'node:path';
import { ROOT } from '../../../scripts/lib/paths.ts';

/** Paths of one checkout of this repository: this one, or another that is compared with it. */
export class Source {
  readonly #root: string;

  constructor(root: string = ROOT) {
    this.#root = path.resolve(root);
  }

  path(...parts: string[]): string {
    return path.join(this.#root, ...parts);
  }
}
