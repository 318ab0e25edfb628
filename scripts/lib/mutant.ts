// A bug for `npm run mutate`: each mutant is one bug that somebody could write, or two defences
// against the same mishap taken away at once.

export interface Edit {
  /** Inside `workers/src`. */
  readonly file: string;
  /** Must be there exactly once. */
  readonly find: string;
  readonly replace: string;
}

export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Why nothing needs to catch it. */
  readonly survives?: string;
}

export const MACHINE = 'job/machine.ts';
export const REPORTS = 'job/reports.ts';
export const OUTCOMES = 'job/outcomes.ts';
export const ATTEMPT = 'job/attempt.ts';
export const SCHEDULE = 'job/schedule.ts';
export const PROJECT = 'job/project.ts';
export const STORE = 'durable-objects/job-store.ts';
export const OUTBOX = 'durable-objects/outbox.ts';
export const ENGINE = 'durable-objects/job-engine.ts';
export const RENDERERS = 'durable-objects/renderers.ts';
export const OBJECT = 'durable-objects/ExportJobState.ts';
export const PURGE = 'durable-objects/purge.ts';
export const CALLS = 'durable-objects/calls.ts';
export const DRAIN = 'outbox/drain.ts';
export const PERFORM = 'outbox/perform.ts';
export const MIRROR = 'outbox/handlers/mirror-to-d1.ts';
export const OUTPUTS = 'outbox/handlers/outputs.ts';

/** One change of one file. */
export function edit(file: string, find: string, replace: string): Edit {
  return { file, find, replace };
}

/** Changes that are one bug together. */
export function mutant(name: string, ...edits: Edit[]): Mutant {
  return { name, edits };
}

/** The same of what nothing needs to catch, and why. */
export function harmless(name: string, survives: string, ...edits: Edit[]): Mutant {
  return { name, edits, survives };
}
