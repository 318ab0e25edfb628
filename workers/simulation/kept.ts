import type { Job } from '../src/job/job.ts';
import type { Disk } from './platform/disk.ts';

/** An effect that the object owes, as it is on disk. */
export interface Owed {
  readonly key: string;
  readonly version: number;
  readonly due: number | null;
  readonly tries: number;
  readonly running: boolean;
}

/** What the object keeps. */
export interface Kept {
  readonly job: Job;
  readonly log: readonly { readonly seq: number }[];
  readonly outbox: readonly Owed[];
}

/** Reads what the object has written; null when that is nothing. */
export function keptOn(disk: Disk): Kept | null {
  const text = disk.kv.get('job');
  if (typeof text !== 'string') return null;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by the object a moment ago; parsing each would take longer than all the rest
  return JSON.parse(text) as Kept;
}

/** Which change a number belongs to: its thousands. The rest is what was reported since. */
export function changeOf(seq: number): number {
  return Math.floor(seq / 1000);
}
