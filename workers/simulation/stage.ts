import type { Call } from '../src/lib/calls.ts';
import type { Renderer } from '../src/lib/types.ts';
import type { Clock } from './clock.ts';
import type { Faults } from './faults.ts';
import type { Random } from './random.ts';

/** What everything in a world shares. */
export interface Stage {
  readonly clock: Clock;
  readonly random: Random;
  readonly faults: Faults;
  /** Adds a line to the trace. */
  note(...words: readonly unknown[]): void;
  /** Says that an invariant does not hold; the world ends. */
  violated(invariant: string, detail: string): void;
  /** Something kept the sweep from looking at the job. */
  sweepFailed(): void;
}

/** Why the object is running: what its caller asked, a socket that closed, or that time has passed. */
export type Cause =
  | { kind: 'call'; call: Call; from: Renderer }
  | { kind: 'create' | 'cancel' | 'hint' | 'look' | 'alarm' | 'close' };

/** What a caller sees of a call that nobody answered. */
export class Unreachable extends Error {}

/** What code hears that runs in a process that has died. */
export class Dead extends Unreachable {}

/** Who has an attempt, or had it. */
export interface OwnerId {
  readonly attempt: number;
  readonly epoch: number;
}
