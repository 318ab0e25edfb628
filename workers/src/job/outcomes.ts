import {
  askLater,
  changed,
  end,
  fail,
  failure,
  loseAttempt,
  loseSilently,
  offered,
  shared,
  stop,
  stopping,
} from './attempt.ts';
import type { Change } from './attempt.ts';
import { noted, sameCaller, unchanged } from './events.ts';
import type { Decision, EventOf, Given } from './events.ts';
import { isEnded } from './job.ts';
import type { Job, JobIn } from './job.ts';
import { doubtDelay, silentAt } from './schedule.ts';

// What the outbox brings back: how a hand-over went, how the job stands at the provider, and what a
// lost attempt has left.

/** An event that an effect, or the provider's own word, causes. */
export type Outcome = EventOf<
  | 'dispatched'
  | 'dispatch_failed'
  | 'dispatch_unknown'
  | 'hint'
  | 'provider_says'
  | 'adopt'
  | 'nothing_found'
>;

/** Decides what came of an effect. */
export function onOutcome(job: Job, event: Outcome, given: Given): Decision {
  switch (event.type) {
    case 'dispatched':
      return onDispatched(job, event, given);
    case 'dispatch_failed':
      return onDispatchFailed(job, event, given);
    case 'dispatch_unknown':
      return onDispatchUnknown(job, event, given);
    case 'hint':
      return onHint(job, event, given);
    case 'provider_says':
      return onProviderSays(job, event, given);
    case 'adopt':
      return onAdopt(job, event, given);
    case 'nothing_found':
      return onNothingFound(job, event, given);
  }
}

function onDispatched(job: Job, event: EventOf<'dispatched'>, given: Given): Decision {
  const { remoteId } = event;
  if (event.attempt === job.attempt) {
    const unknown = unknownOf(job);
    if (unknown) return handedOver(unknown, remoteId, given);
    if (job.state === 'running' || job.state === 'dispatched') {
      // The renderer may claim before the answer of the hand-over is recorded.
      if (job.remoteId === null) {
        return changed({ ...job, remoteId }, 'dispatched', given.now);
      }
      if (job.remoteId === remoteId) return unchanged(job);
    }
  }
  return { kind: 'unchanged', job, effects: [stop(remoteId)] };
}

type Unknown = JobIn<'dispatching' | 'dispatched'>;

/** The job if the provider may have its attempt under an id that is not known here, else null. */
function unknownOf(job: Job): Unknown | null {
  if (job.state === 'dispatching') return job;
  return job.state === 'dispatched' && job.remoteId === null ? job : null;
}

function handedOver(job: Unknown, remoteId: string, { now, policy }: Given): Change {
  const startBy = job.request ? now + policy.start_ms : job.deadlineAt;
  const next = offered(job, { remoteId, startBy, askAt: now + policy.ask_ms, doubts: 0 });
  return changed(next, 'dispatched', now);
}

/** Whoever took it will claim it. Asking again at once could start a twin. */
function onDispatchUnknown(
  job: Job,
  event: EventOf<'dispatch_unknown'>,
  { now, policy }: Given,
): Decision {
  if (job.state !== 'dispatching' || event.attempt !== job.attempt) return unchanged(job);
  const startBy = now + doubtDelay(job.doubts, policy);
  const next = offered(job, { remoteId: null, startBy, askAt: startBy, doubts: job.doubts + 1 });
  // Nothing that D1 shows is different.
  return changed(next, 'dispatch_unknown', now);
}

function onHint(job: Job, event: EventOf<'hint'>, given: Given): Decision {
  if (isEnded(job) || event.attempt !== job.attempt) return unchanged(job);
  const unknown = unknownOf(job);
  if (unknown && event.remoteId !== null) {
    const { effects, ...decision } = handedOver(unknown, event.remoteId, given);
    return { ...decision, effects: [...effects, `ask:${event.remoteId}`] };
  }
  return askAbout(job, event.remoteId, given);
}

/** Has the provider asked about the job that the attempt was handed over as; `named` may not name it. */
function askAbout(job: Job, named: string | null, given: Given): Decision {
  if (job.state !== 'dispatched' && job.state !== 'running') return unchanged(job);
  const { remoteId } = job;
  if (remoteId === null || (named ?? remoteId) !== remoteId) return unchanged(job);
  if (job.state === 'running' && given.now < silentAt(job, given.policy)) {
    return job.askAt === null ? askLater(job, given) : unchanged(job);
  }
  return { kind: 'unchanged', job, effects: [`ask:${remoteId}`] };
}

/** Whether this is the provider's job that the present attempt depends on. */
function isAt(job: Job, remoteId: string): job is JobIn<'dispatched' | 'running'> {
  return (job.state === 'dispatched' || job.state === 'running') && job.remoteId === remoteId;
}

function onProviderSays(job: Job, event: EventOf<'provider_says'>, given: Given): Decision {
  const { remoteId, status } = event;
  if (!isAt(job, remoteId)) return unchanged(job);
  const isOver = status === 'over' || status === 'timed_out';
  if (job.state === 'running') {
    // Who reports is alive, whatever the provider has made of its pings.
    if (!isOver || given.now < silentAt(job, given.policy)) return unchanged(job);
    return loseSilently(job, status === 'over' ? 'renderer_lost' : 'attempt_timeout', given);
  }
  if (!isOver) return waitOn(job, event, given);
  const code = status === 'over' ? 'renderer_lost' : 'start_timeout';
  return loseAttempt(job, failure(code), true, given);
}

/** Its turn will come: only a job that was taken, or that nobody knows, can be late. */
function waitOn(
  job: JobIn<'dispatched'>,
  { status, waiting }: EventOf<'provider_says'>,
  { now, policy }: Given,
): Decision {
  const startBy = status === 'queued' ? now + policy.start_ms : job.startBy;
  const next = { ...job, waiting, startBy };
  if (job.waiting !== waiting) return changed(next, 'waiting', now);
  return startBy - job.startBy < policy.start_ms / 2
    ? unchanged(job)
    : noted(next, { isKept: true });
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
    ...shared(job, now),
    progress: 100,
    state: 'complete',
    output,
    verified: true,
    by,
    rendered: null,
    completedAt: now,
  };
  return end(done, 'complete', stopping(job));
}

function onNothingFound(job: Job, { by }: EventOf<'nothing_found'>, { now }: Given): Decision {
  return job.state === 'adopting' && sameCaller(job.by, by)
    ? fail(job, job.failure, now)
    : unchanged(job);
}
