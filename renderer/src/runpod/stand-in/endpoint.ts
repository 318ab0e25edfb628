import type { Queue } from './queue.ts';
import type { Waiting } from './waiting.ts';
import type { Workers } from './workers.ts';

/** What the two interfaces of an endpoint share. */
export interface Endpoint {
  readonly queue: Queue;
  readonly workers: Workers;
  readonly waiting: Waiting;
  /** After every change: resolves when it is on disk, and lets those that wait look again. */
  commit(): Promise<void>;
}
