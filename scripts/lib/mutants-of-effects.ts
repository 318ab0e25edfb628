import {
  CALLS,
  DRAIN,
  MACHINE,
  OBJECT,
  OUTCOMES,
  PERFORM,
  PURGE,
  SCHEDULE,
  STORE,
  ATTEMPT,
  edit,
  mutant,
} from './mutant.ts';
import type { Mutant } from './mutant.ts';

const healing = edit(OBJECT, 'this.#store.heal(this.settings.POLICY, Date.now());', '');

/** Bugs in what a decision causes: effects, the alarm, calls, viewers. */
export const EFFECT_MUTANTS: readonly Mutant[] = [
  // Effects.
  mutant(
    'the provider is not told to stop',
    edit(ATTEMPT, 'return remoteId === null ? [] : [stop(remoteId)];', 'return [];'),
  ),
  mutant(
    'what lost attempts left is not thrown away',
    edit(ATTEMPT, "tidy && job.request ? ['discard'] : []", 'tidy && job.request ? [] : []'),
  ),
  mutant(
    'an attempt is handed over that nobody needs',
    edit(PERFORM, "if (job.state !== 'dispatching' || job.attempt !== attempt) return;", ''),
  ),
  mutant(
    'a hand-over without an answer is repeated without waiting for a claim',
    edit(PERFORM, 'if (error instanceof RetryLater) throw error;', 'if (error) throw error;'),
  ),
  mutant(
    'a hand-over that a crash interrupted is repeated at once',
    edit(PERFORM, 'if (interrupted) return void context.apply(unknown);', ''),
  ),
  mutant(
    'a hand-over without an answer is never repeated',
    edit(
      MACHINE,
      'return job.remoteId === null\n    ? handOver',
      'return job.id === null\n    ? handOver',
    ),
  ),
  mutant(
    'a job that the provider does not know is lost',
    edit('outbox/handlers/runpod.ts', "statusOf(seen) : 'unknown'", "statusOf(seen) : 'over'"),
  ),
  mutant(
    'the provider’s word counts more than the renderer’s own',
    edit(OUTCOMES, ' || given.now < silentAt(job, given.policy)', ''),
  ),
  mutant(
    'the provider’s word on another job counts',
    edit(
      OUTCOMES,
      "(job.state === 'dispatched' || job.state === 'running') && job.remoteId === remoteId",
      "(job.state === 'dispatched' || job.state === 'running') && job.remoteId !== remoteId + 'x'",
    ),
  ),
  mutant(
    'the provider is asked again and again in one silence',
    edit(SCHEDULE, 'job.askedAt > job.heartbeatAt', 'job.askedAt > job.heartbeatAt + 1e12'),
  ),
  mutant(
    'an effect that failed is forgotten',
    edit(
      DRAIN,
      '    ports.postpone(item, ports.now() + waitFor',
      '    ports.confirm(item, ports.now());\n    ports.postpone(item, ports.now() + waitFor',
    ),
  ),
  mutant(
    'an effect is forgotten before it is done',
    edit(
      DRAIN,
      'await ports.perform(item);\n    ports.confirm(item, ports.now());',
      'ports.confirm(item, ports.now());\n    await ports.perform(item);',
    ),
  ),
  mutant(
    'an old confirmation removes a newer wish',
    edit(
      STORE,
      "'DELETE FROM outbox WHERE key = ? AND version = ?', key, version",
      "'DELETE FROM outbox WHERE key = ?', key",
    ),
  ),
  mutant(
    'D1 takes an older row',
    edit('outbox/handlers/mirror-to-d1.ts', 'excluded.rev > export_jobs.rev', 'excluded.rev > 0'),
  ),
  mutant(
    'the end does not reach D1',
    edit(ATTEMPT, "['mirror', ...effects, ...discard]", '[...effects, ...discard]'),
  ),
  // The alarm.
  mutant(
    'a commit does not arm the alarm',
    edit(
      STORE,
      'wakeAt: this.#armBy(nextWakeAt(job, this.#outboxDueAt(), policy), now)',
      'wakeAt: this.#armedAt',
    ),
  ),
  mutant(
    'an alarm is believed in although its time has passed',
    edit(
      STORE,
      '(armed !== null && armed > now && armed <= at)',
      '(armed !== null && armed <= at)',
    ),
  ),
  mutant(
    'the alarm forgets the outbox',
    edit(
      SCHEDULE,
      'return Math.min(deadlineOf(job, policy), outboxDueAt ?? Number.POSITIVE_INFINITY);',
      'return deadlineOf(job, policy);',
    ),
  ),
  mutant(
    'the alarm is not set again after it has fired',
    edit(OBJECT, '      this.#store.rearm(this.settings.POLICY, Date.now(), earliest);\n', ''),
  ),
  mutant('a lost alarm is not healed', healing),
  mutant(
    'an ended job whose alarm is lost keeps what it owes',
    edit(SCHEDULE, 'return isOwing ? now + OWING_LOOK_MS : purgeAt', 'return purgeAt'),
  ),
  mutant(
    'an object whose last alarm is lost is never forgotten',
    edit(SCHEDULE, ': purgeAt(job, policy) + PURGE_GRACE_MS', ': null'),
  ),
  mutant(
    'an ended job is never forgotten',
    edit(SCHEDULE, 'return job.completedAt + policy.retention_ms;', 'return job.completedAt * 2;'),
  ),
  mutant(
    'a job is forgotten although it owes something',
    edit(PURGE, ' || !store.settle(now)', ''),
    edit(SCHEDULE, 'return outboxDueAt ?? purgeAt(job, policy);', 'return purgeAt(job, policy);'),
  ),
  // Calls.
  mutant(
    'a file is believed in without a look',
    edit(
      CALLS,
      "if (size !== manifest.size || sha256 !== manifest.sha256) return reject('Not the stored file.');",
      '',
    ),
    edit('lib/outputs.ts', 'if (object.size !== manifest.size) {', 'if (object.size < 0) {'),
  ),
  mutant(
    'any key is believed in',
    edit(
      CALLS,
      "if (body.output_video_key !== key) return reject('Not the key of this attempt.');",
      '',
    ),
  ),
  mutant(
    'viewers are not told',
    edit(OBJECT, '    this.#viewers.broadcast(messageOf(view, happening));\n', ''),
  ),
  mutant(
    'a viewer who comes back is not told what it missed',
    edit(OBJECT, '      ...greetingOf(view),\n', ''),
  ),
];
