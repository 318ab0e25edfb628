// What a run knows of who watches.
import type { Spectator } from './judge.ts';

export interface Watcher {
  /** What was done to it, by kind. */
  readonly suffered: ReadonlyMap<string, number>;
  /** Whether it has seen all that it came for. */
  readonly isDone: boolean;
  /** Watches until then, or `close`. */
  run(): Promise<void>;
  /** Nothing goes wrong with it any more; what is frozen stays so. */
  heal(): void;
  /** What it has seen so far; null when it has not come. */
  spectator(): Promise<Spectator | null>;
  close(): Promise<void>;
}
