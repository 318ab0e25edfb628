import { changed, end, fail, failure, loseAttempt, shared, stop, stopping } from './attempt.ts';
import { sameCaller, unchanged } from './events.ts';
import type { Decision, EventOf, Given } from './events.ts';
import { isEnded } from './job.ts';
import type { Job } from './job.ts';

// What the outbox brings back: how a hand-over went, and what a lost attempt has left.

/** An event that an effect causes. */
export type Outcome = EventOf<'dispatched' | 'dispatch_failed' | 'adopt' | 'nothing_found'>;

/** Decides what came of an effect. */
export function onOutcome(job: Job, event: Outcome, given: Given): Decision {
  switch (event.type) {
    case 'dispatched':
      return onDispatched(job, event, given);
    case 'dispatch_failed':
      return onDispatchFailed(job, event, given);
    case 'adopt':
      return onAdopt(job, event, given);
    case 'nothing_found':
      return onNothingFound(job, event, given);
  }
}

function onDispatched(job: Job, event: EventOf<'dispatched'>, { now, policy }: Given): Decision {
  const { remoteId } = event;
  const current = event.attempt === job.attempt;
  if (job.state === 'dispatching' && current) {
    const next: Job = { ...job, state: 'dispatched', remoteId, startBy: now + policy.start_ms };
    return changed(next, 'dispatched', now, ['mirror']);
  }
  // The renderer may claim before the answer of the hand-over is recorded.
  const known = (job.state === 'running' || job.state === 'dispatched') && current;
  if (known && job.remoteId === null) {
    return changed({ ...job, remoteId }, 'dispatched', now, ['mirror']);
  }
  if (known && job.remoteId === remoteId) return unchanged(job);
  return { kind: 'unchanged', job, effects: [stop(remoteId)] };
}

function onDispatchFailed(job: Job, event: EventOf<'dispatch_failed'>, given: Given): Decision {
  return job.state === 'dispatching' && event.attempt === job.attempt
    ? loseAttempt(job, failure('dispatch_failed'), true, given)
    : unchanged(job);
}

/** A verified output of any attempt is what was asked for: the job needs no other. */
function onAdopt(job: Job, { by, output }: EventOf<'adopt'>, { now }: Given): Decision {
  if (isEnded(job)) return unchanged(job);
  const done: Job = {
    ...shared(job),
    progress: 100,
    state: 'complete',
    output,
    verified: true,
    by,
    completedAt: now,
  };
  return end(done, 'complete', stopping(job));
}

function onNothingFound(job: Job, { by }: EventOf<'nothing_found'>, { now }: Given): Decision {
  return job.state === 'adopting' && sameCaller(job.by, by)
    ? fail(job, job.failure, now)
    : unchanged(job);
}
