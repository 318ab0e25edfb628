import {
  CALLS,
  DRAIN,
  ENGINE,
  MACHINE,
  MIRROR,
  OBJECT,
  OUTBOX,
  OUTCOMES,
  OUTPUTS,
  PERFORM,
  PURGE,
  REPORTS,
  SCHEDULE,
  STORE,
  ATTEMPT,
  edit,
  mutant,
} from './mutant.ts';
import type { Mutant } from './mutant.ts';

const healing = edit(ENGINE, 'this.#store.heal(this.settings.POLICY, Date.now());', '');

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
    edit(PERFORM, "if (job.state !== 'dispatching' || job.attempt !== attempt) return null;", ''),
  ),
  mutant(
    'a hand-over without an answer is repeated without waiting for a claim',
    edit(PERFORM, 'if (error instanceof RetryLater) throw error;', 'if (error) throw error;'),
  ),
  mutant(
    'a hand-over that a crash interrupted is repeated at once',
    edit(PERFORM, 'if (interrupted) return unknown;', ''),
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
    edit(MACHINE, 'return ask({ ...job, askAt: null }, given);', 'return ask(job, given);'),
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
      'const outcome = await ports.perform(item);\n    ports.confirm(item, ports.now());',
      'ports.confirm(item, ports.now());\n    const outcome = await ports.perform(item);',
    ),
  ),
  mutant(
    'an old confirmation removes a newer wish',
    edit(OUTBOX, 'row.key !== key || row.version !== version', 'row.key !== key'),
  ),
  mutant(
    'D1 takes an older row',
    edit(MIRROR, 'excluded.rev > export_jobs.rev', 'excluded.rev > 0'),
  ),
  mutant(
    'D1 has the number of a report',
    edit(MIRROR, '      ended ? job.seq : changeSeq(job.seq),', '      job.seq,'),
  ),
  mutant(
    'the log of an ended job is not kept in D1',
    edit(MIRROR, 'ended ? JSON.stringify(log) : null', 'null'),
  ),
  mutant(
    'D1 is not told that somebody renders',
    edit(REPORTS, "['mirror', ...(twin ?", '[...(twin ?'),
  ),
  mutant(
    'a thrown-away epoch is left behind',
    edit(OUTPUTS, 'numbers(job.epochs)', 'numbers(job.epochs - 1)'),
  ),
  mutant(
    'that a hand-over has started is not written down',
    edit(STORE, 'due.some(isHarmfulTwice) ?', 'due.length < 0 ?'),
  ),
  mutant(
    'what a hand-over came to is told before it is confirmed, and a crash comes between',
    edit(
      DRAIN,
      '    ports.confirm(item, ports.now());\n    outcome?.();',
      '    outcome?.();\n    await Promise.resolve();\n    ports.confirm(item, ports.now());',
    ),
  ),
  mutant(
    'a confirmation is written before what came of it',
    edit(
      DRAIN,
      '    ports.confirm(item, ports.now());\n    outcome?.();',
      '    ports.confirm(item, ports.now());\n    await Promise.resolve();\n    outcome?.();',
    ),
  ),
  mutant(
    'a fresh effect is guarded by whatever alarm there is',
    edit(STORE, 'GUARD_SLACK_MS = 4 * 60_000', 'GUARD_SLACK_MS = 400 * 60_000'),
  ),
  mutant(
    'nobody looks at a job whose object was never made',
    edit('lib/intents.ts', '      now + LIVE_LOOK_MS,\n', '      null,\n'),
  ),
  mutant(
    'the end does not reach D1',
    edit(ATTEMPT, "['mirror', ...effects, ...discard]", '[...effects, ...discard]'),
  ),
  // The alarm.
  mutant(
    'a commit does not arm the alarm',
    edit(STORE, '        this.#armFor(job, policy, now);\n', ''),
  ),
  mutant(
    'an alarm is believed in although its time has passed',
    edit(STORE, 'armed === null || armed <= now || armed >', 'armed === null || armed >'),
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
    edit(OBJECT, 'this.#store.arm(policy, now, isRefused ? now + ALARM_RETRY_MS : 0);', ''),
  ),
  mutant('a lost alarm is not healed', healing),
  mutant(
    'an ended job whose alarm is lost keeps what it owes',
    edit(
      SCHEDULE,
      'return isOwing || job.deletedAt !== undefined ? now + OWING_LOOK_MS : null;',
      'return null;',
    ),
  ),
  mutant(
    'an ended job is never forgotten',
    edit(
      SCHEDULE,
      'return job.deletedAt ?? job.completedAt + policy.retention_ms;',
      'return job.completedAt * 2;',
    ),
  ),
  mutant(
    'a job is forgotten although it owes something',
    edit(PURGE, '  if (!outbox.isEmpty) return false;\n', ''),
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
    edit(CALLS, "if (output_video_key !== key) return reject('Not the key of this attempt.');", ''),
  ),
  mutant(
    'viewers are not told',
    edit(ENGINE, '    this.#viewers.broadcast(messagesOf(before, job, view, happening));\n', ''),
  ),
  mutant(
    'a viewer who comes back is not told what it missed',
    edit(OBJECT, "      ...missed.map((old) => messageOf(old, 'snapshot')),\n", ''),
  ),
  mutant(
    'a viewer who comes is not told the present',
    edit(OBJECT, '      ...greetingOf(asSeenSince(this.#engine.show(job), job, since)),\n', ''),
  ),
];
