import { ExportOptions } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Decision, Given, JobEvent } from './events.ts';
import type { Job, JobIn, JobState } from './job.ts';
import { transition } from './machine.ts';
import { Policy } from './policy.ts';

// Jobs in any state, made by the machine itself, for its tests.

export const policy = v.parse(Policy, {});
export const T0 = 1_000_000;

/** A moment, `ms` after the job was made. */
export function at(ms = 0, random = 0.5): Given {
  return { now: T0 + ms, random, policy, forgot: false };
}

export const init = {
  type: 'init',
  id: 'job_1',
  tenant: 'acme',
  requestHash: 'h1',
  request: {
    input: { kind: 'upload', key: 'in/acme/upl_1', etag: 'e', size: 10, filename: 'clip.mov' },
    options: v.parse(ExportOptions, {}),
    retryOf: null,
    tags: [],
    maxDollars: null,
  },
  progress: 0,
  processing: false,
} satisfies JobEvent;

export const claim = {
  type: 'claim',
  attempt: 1,
  nonce: 'process-one',
  remoteId: 'remote-1',
  workerId: 'gpu-1',
  hardware: 'cpu',
} satisfies JobEvent;

export const owner = { attempt: 1, epoch: 1 };

/** A report of the first owner. */
export function report(
  percent: number,
  seq: number,
  from: { attempt: number; epoch: number } | null = owner,
) {
  const speeds = { fps: null, speed: null, etaMs: null, megapixels: null };
  const hints = { message: null, stage: null, ...speeds };
  return { type: 'progress', from, bySocket: false, seq, percent, ...hints } satisfies JobEvent;
}

export const completion = {
  type: 'complete',
  from: owner,
  verified: true,
  output: {
    key: 'out/acme/job_1/1/1/video.mp4',
    filename: 'clip-export.mp4',
    container: 'mp4',
    content_type: 'video/mp4',
    size: 5,
    sha256: 'aa',
    width: 2,
    height: 2,
    duration_ms: 1000,
    frames: 24,
  },
} satisfies JobEvent;

export const crash = {
  type: 'error',
  from: owner,
  failure: { code: 'encoder_failed', message: 'The encoder stopped unexpectedly.' },
  mayRetry: true,
} satisfies JobEvent;

/** What is needed to show a job. */
export const lens = {
  policy,
  link: (key: string) => `https://example.com/${key}`,
  usage: { requests: 10, messages: 20, rows: 30 },
};

/** Applies events one after the other, each a second later; every one must have an effect on the job. */
export function run(job: Job | null, events: JobEvent[], fromMs = 0): Job {
  let current = job;
  for (const [i, event] of events.entries()) {
    const decision = transition(current, event, at(fromMs + i * 1000));
    if (decision.kind !== 'changed' && decision.kind !== 'noted') {
      throw new Error(`${event.type} was ${decision.kind}`);
    }
    current = decision.job;
  }
  if (!current) throw new Error('no events');
  return current;
}

const dispatched = { type: 'dispatched', attempt: 1, remoteId: 'remote-1' } satisfies JobEvent;

const PATHS: Record<Exclude<JobState, 'adopting'>, JobEvent[]> = {
  dispatching: [init],
  dispatched: [init, dispatched],
  running: [init, dispatched, claim],
  retry_wait: [init, dispatched, claim, crash],
  complete: [init, dispatched, claim, completion],
  failed: [
    init,
    dispatched,
    claim,
    { ...crash, failure: { code: 'input_invalid', message: 'This file is not a video.' } },
  ],
  cancelled: [init, dispatched, claim, { type: 'cancel' }],
};

/** The first attempt's job in a state. */
export function jobIn<S extends JobState>(state: S): JobIn<S>;
export function jobIn(state: JobState): Job {
  return state === 'adopting' ? silentToTheLast() : run(null, PATHS[state]);
}

/** Its only attempt fell silent, and the platform may lose no other. */
function silentToTheLast(): Job {
  const last = { ...jobIn('running'), losses: policy.max_losses };
  return run(last, [{ type: 'tick' }], 200_000);
}

/** A job made by hand, as the contract's smoke test makes it. */
export function jobByHand(): Job {
  return run(null, [{ ...init, request: null }]);
}

/** The job after a decision that must be a change. */
export function changedJob(decision: Decision): Job {
  if (decision.kind !== 'changed') throw new Error(`expected a change, got ${decision.kind}`);
  return decision.job;
}
