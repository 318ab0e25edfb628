// What `npm run mutate` breaks: each mutant is one bug that somebody could write, or two defences
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

const MACHINE = 'job/machine.ts';
const REPORTS = 'job/reports.ts';
const OUTCOMES = 'job/outcomes.ts';
const ATTEMPT = 'job/attempt.ts';
const SCHEDULE = 'job/schedule.ts';
const STORE = 'durable-objects/job-store.ts';
const OBJECT = 'durable-objects/ExportJobState.ts';
const PURGE = 'durable-objects/purge.ts';
const CALLS = 'durable-objects/calls.ts';
const DRAIN = 'outbox/drain.ts';
const PERFORM = 'outbox/perform.ts';

function edit(file: string, find: string, replace: string): Edit {
  return { file, find, replace };
}

function mutant(name: string, ...edits: Edit[]): Mutant {
  return { name, edits };
}

const epoch = edit(
  REPORTS,
  "if (job.state !== 'running' || job.owner?.epoch !== from.epoch) {",
  "if (job.state !== 'running') {",
);
const reportOrder = edit(
  REPORTS,
  'if (event.from && event.seq <= running.reportSeq) return unchanged(job);',
  '',
);
const monotone = edit(REPORTS, 'Math.max(running.progress, event.percent)', 'event.percent');
const healing = edit(OBJECT, 'this.#store.heal(this.settings.POLICY, Date.now());', '');
const selfCheck = edit(OBJECT, 'if (broken.length > 0) {', 'if (broken.length > 99) {');

export const MUTANTS: readonly Mutant[] = [
  // The fence.
  mutant('an older epoch may speak', epoch),
  mutant(
    'an older attempt may speak',
    edit(REPORTS, "if (from.attempt !== job.attempt) return refused('stale_attempt');", ''),
  ),
  mutant(
    'any claim takes an attempt over',
    edit(
      REPORTS,
      "if (!job.owner || !redelivered) return refused('not_owner');",
      "if (!job.owner) return refused('not_owner');",
    ),
  ),
  mutant(
    'a redelivery keeps the epoch',
    edit(REPORTS, 'const epoch = job.owner.epoch + 1;', 'const epoch = job.owner.epoch;'),
  ),
  mutant(
    'a repeated claim is a redelivery',
    edit(REPORTS, 'if (job.owner?.nonce === nonce) return unchanged(job);', ''),
  ),
  mutant(
    'an attempt that waits for its retry can be claimed',
    edit(REPORTS, 'event.attempt !== job.attempt || isOver', 'event.attempt !== job.attempt'),
  ),
  // The end.
  mutant(
    'calls are let through after the end',
    edit(
      REPORTS,
      "  if (isEnded(job)) return refused('job_finished');\n  if (from === null) {",
      '  if (from === null) {',
    ),
  ),
  mutant(
    'a cancel undoes another end',
    edit(MACHINE, "if (isEnded(job)) return refused('cancel_conflict');", ''),
  ),
  mutant(
    'a lost output is adopted after the end, unchecked',
    edit(OUTCOMES, 'if (isEnded(job)) return unchanged(job);\n  const done', 'const done'),
    edit(
      'outbox/handlers/outputs.ts',
      'if (!job.request || isEnded(job)) return null;',
      'if (!job.request) return null;',
    ),
    selfCheck,
  ),
  mutant(
    'a repeated complete is refused',
    edit(
      REPORTS,
      "return job.output.key === event.output.key ? unchanged(job) : refused('job_finished');",
      "return refused('job_finished');",
    ),
  ),
  mutant(
    'a repeated error is refused',
    edit(
      REPORTS,
      'if (event.from && sameCaller(job.closed, event.from)) return unchanged(job);',
      '',
    ),
  ),
  mutant(
    'a job fails before the output of its last attempt was looked for',
    edit(
      ATTEMPT,
      "if (owner === null || lost.job.state !== 'failed') {",
      'if (owner !== undefined) {',
    ),
  ),
  mutant(
    'a job whose last output is not there waits for its deadline',
    edit(OUTCOMES, "job.state === 'adopting' && sameCaller(job.by, by)", 'false'),
  ),
  mutant(
    'what one attempt did not leave ends another',
    edit(
      OUTCOMES,
      "job.state === 'adopting' && sameCaller(job.by, by)",
      "job.state === 'adopting'",
    ),
  ),
  // Progress.
  mutant('reports are taken in any order, and progress may fall', reportOrder, monotone, selfCheck),
  mutant('progress may fall', monotone, selfCheck),
  mutant(
    'a report does not renew the lease',
    edit(
      REPORTS,
      '    heartbeatAt: now,\n    leaseUntil: now + leaseOf(job, policy),\n    mirroredAt',
      '    heartbeatAt: now,\n    mirroredAt',
    ),
  ),
  // Deadlines.
  mutant(
    'a silent renderer keeps its attempt',
    edit(MACHINE, "if (now >= leaseUntil) return 'renderer_lost';", ''),
  ),
  mutant(
    'a renderer that gets nowhere keeps its attempt',
    edit(MACHINE, "return now >= stallBy ? 'encoder_stalled' : null;", 'return null;'),
  ),
  mutant(
    'a hand-over that nobody takes is waited for until the end',
    edit(MACHINE, 'job.request && now >= job.startBy', 'false'),
  ),
  mutant(
    'a job may outlive its deadline',
    edit(MACHINE, 'if (now >= job.deadlineAt) return fail(job, lastFailureOf(job), now);', ''),
  ),
  mutant(
    'a retry is never started',
    edit(MACHINE, 'return now >= job.retryAt ? nextAttempt', 'return now < 0 ? nextAttempt'),
  ),
  // Budgets.
  mutant(
    'one failure more than allowed',
    edit(ATTEMPT, 'spent.failures < policy.max_attempts', 'spent.failures <= policy.max_attempts'),
  ),
  mutant(
    'losses are not counted',
    edit(
      ATTEMPT,
      'return { failures, losses: losses + 1, outages };',
      'return { failures, losses, outages };',
    ),
  ),
  mutant(
    'the attempt does not grow when it is lost',
    edit(ATTEMPT, 'attempt: job.attempt + 1,', 'attempt: job.attempt,'),
  ),
  mutant(
    'a hopeless failure is retried',
    edit(
      ATTEMPT,
      "FAILURES[cause.code].retry === 'never' || !mayRetry || !left",
      '!mayRetry || !left',
    ),
  ),
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
      '    const wait = error instanceof RetryLater',
      '    ports.confirm(item, ports.now());\n    const wait = error instanceof RetryLater',
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
    edit(OBJECT, '      this.#store.rearm(this.settings.POLICY, Date.now());\n', ''),
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
