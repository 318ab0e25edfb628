import type { Failure, Output, ProblemCode, Stage, WaitReason } from '@export-jobs/protocol';
import type { Job, JobRequest } from './job.ts';
import type { Policy } from './policy.ts';

// What can happen to a job, and what a decision looks like.

/** How a job stands at the provider; `unknown` is one that it does not, or no longer, know. */
export type ProviderStatus = 'unknown' | 'queued' | 'working' | 'over' | 'timed_out';

/** Who speaks: the owner of an attempt by its fence, or null for a person at a keyboard. */
export type Caller = { attempt: number; epoch: number } | null;

export type JobEvent =
  | {
      type: 'init';
      id: string;
      tenant: string;
      requestHash: string;
      request: JobRequest | null;
      /** Only a job made by hand may start in the middle. */
      progress: number;
      processing: boolean;
    }
  | { type: 'dispatched'; attempt: number; remoteId: string }
  | { type: 'dispatch_failed'; attempt: number }
  /** The hand-over may have reached the provider or not. */
  | { type: 'dispatch_unknown'; attempt: number }
  /** The provider has something to tell about its job: it should be asked. */
  | { type: 'hint'; attempt: number; remoteId: string | null }
  | { type: 'provider_says'; remoteId: string; status: ProviderStatus; waiting: WaitReason | null }
  | {
      type: 'claim';
      attempt: number;
      nonce: string;
      remoteId: string | null;
      workerId: string | null;
      hardware: string;
    }
  | {
      type: 'progress';
      from: Caller;
      /** Whether it came over the renderer's socket, whose end would be told. */
      bySocket: boolean;
      seq: number;
      percent: number;
      message: string | null;
      stage: Stage | null;
      fps: number | null;
      speed: number | null;
      etaMs: number | null;
      megapixels: number | null;
    }
  /** The renderer says that it is done; what it made is looked at before it is believed. */
  | { type: 'verifying'; from: Caller; bySocket: boolean }
  | { type: 'complete'; from: Caller; output: Output; verified: boolean }
  /** The finished output of an attempt whose renderer was lost before it could say so. */
  | { type: 'adopt'; by: NonNullable<Caller>; output: Output }
  /** That attempt has left no finished output. */
  | { type: 'nothing_found'; by: NonNullable<Caller> }
  | { type: 'error'; from: Caller; failure: Failure; mayRetry: boolean }
  /** The socket of the attempt's owner has closed. */
  | { type: 'hung_up'; by: NonNullable<Caller> }
  | { type: 'cancel' }
  | { type: 'tick' };
export type EventOf<T extends JobEvent['type']> = Extract<JobEvent, { type: T }>;

/**
 * What must happen elsewhere because of a change; rows of the outbox, by these keys. Only `ask` is
 * not owed: a question that was lost is asked again in time.
 */
export type Effect =
  | 'mirror'
  | 'discard'
  | `dispatch:${number}`
  | `stop:${string}`
  | `ask:${string}`
  | `adopt:${number}.${number}`;

/** What the log and the viewers call the change. */
export type Happening =
  | 'created'
  | 'handing_over'
  | 'dispatched'
  | 'dispatch_unknown'
  | 'claimed'
  | 'waiting'
  | 'progress'
  | 'retrying'
  | 'adopting'
  | 'complete'
  | 'error'
  | 'cancelled';

/**
 * `changed` is committed, with a number of its own. `noted` only adds to what is known of a job in the
 * same state: it lives in memory unless `isKept`, and viewers hear of it when `isNews`. The effects of
 * all but `changed` are questions, or stops of what is not the job's own.
 */
export type Decision =
  | { kind: 'changed'; job: Job; happening: Happening; effects: readonly Effect[] }
  | { kind: 'noted'; job: Job; isKept: boolean; isNews: boolean; effects: readonly Effect[] }
  | { kind: 'unchanged'; job: Job; effects?: readonly Effect[] }
  | { kind: 'refused'; code: ProblemCode };

/** Everything that a decision needs besides the job. */
export interface Given {
  now: number;
  /** In [0, 1). */
  random: number;
  policy: Policy;
  /** Whether reports since the last commit may have been lost with the object's memory. */
  forgot: boolean;
}

/** Whether two calls come from the same side: the same owner, or both from people. */
export function sameCaller(a: Caller, b: Caller): boolean {
  return a === null || b === null ? a === b : a.attempt === b.attempt && a.epoch === b.epoch;
}

/** More is known of the job, and nothing else. */
export function noted(
  job: Job,
  how: Partial<Pick<Extract<Decision, { kind: 'noted' }>, 'isKept' | 'isNews' | 'effects'>> = {},
): Extract<Decision, { kind: 'noted' }> {
  return { kind: 'noted', job, isKept: false, isNews: false, effects: [], ...how };
}

/** Nothing happens: the very same job. */
export function unchanged(job: Job): Extract<Decision, { kind: 'unchanged' }> {
  return { kind: 'unchanged', job };
}

/** Nothing happens, and the caller is told why. */
export function refused(code: ProblemCode): Extract<Decision, { kind: 'refused' }> {
  return { kind: 'refused', code };
}

/** Whether an effect is only asked for, and not owed. */
export function isQuestion(effect: Effect): boolean {
  return effect.startsWith('ask:');
}

/** Whether an effect does harm when it is carried out once more without need: another GPU may start. */
export function isHarmfulTwice(effect: string): boolean {
  return effect.startsWith('dispatch:');
}
