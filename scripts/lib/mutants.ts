// What `npm run mutate` breaks, the machine's decisions first.
import { ATTEMPT, ENGINE, MACHINE, OUTCOMES, OUTPUTS, REPORTS, edit, mutant } from './mutant.ts';
import type { Mutant } from './mutant.ts';
import { EFFECT_MUTANTS } from './mutants-of-effects.ts';
import { MEMORY_MUTANTS } from './mutants-of-memory.ts';

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
const selfCheck = edit(ENGINE, 'if (broken.length > 0) {', 'if (broken.length > 99) {');

export const MUTANTS: readonly Mutant[] = [
  // The fence.
  mutant('an older epoch may speak', epoch),
  mutant(
    'an older attempt may speak',
    edit(REPORTS, "if (from.attempt !== job.attempt) return refused('stale_attempt');", ''),
  ),
  mutant(
    'any claim takes an attempt over',
    edit(REPORTS, 'if (!job.owner || !redelivered ||', 'if (!job.owner ||'),
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
  mutant(
    'a fenced process gets its attempt back',
    edit(REPORTS, ' || job.owner.fenced.includes(nonce)', ''),
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
      OUTPUTS,
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
      'if (owner === null) return fail(job, cause, now);',
      'if (owner !== undefined) return fail(job, cause, now);',
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
  mutant(
    'an error after the upload throws the finished file away',
    edit(REPORTS, 'const lose = isBad ? loseAttempt : loseAndLook;', 'const lose = loseAttempt;'),
  ),
  mutant(
    'a finished file is thrown away when the job’s own time is up',
    edit(MACHINE, "job.state === 'running' ? lookFirst", "job.state === 'adopting' ? lookFirst"),
  ),
  // Progress.
  mutant('reports are taken in any order, and progress may fall', reportOrder, monotone, selfCheck),
  mutant('progress may fall', monotone, selfCheck),
  mutant(
    'a report does not renew the lease',
    edit(REPORTS, 'heartbeatAt: now, leaseUntil, askAt: null', 'heartbeatAt: now, askAt: null'),
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
    'a redelivered render is measured by that of the one before',
    edit(REPORTS, 'event.percent > running.ownPercent', 'event.percent > running.progress'),
  ),
  mutant(
    'a job that only waits its turn loses its place',
    edit(OUTCOMES, "status === 'queued' ? now + policy.start_ms", "status === 'working' ? now"),
  ),
  mutant(
    'a hand-over that nobody takes is waited for until the end',
    edit(MACHINE, 'job.request && now >= job.startBy', 'false'),
  ),
  mutant(
    'a job may outlive its deadline',
    edit(MACHINE, 'if (now >= job.deadlineAt) return timeOut(job, given);', ''),
  ),
  mutant(
    'a retry is never started',
    edit(MACHINE, 'return now >= job.retryAt ? nextAttempt', 'return now < 0 ? nextAttempt'),
  ),
  // Budgets.
  mutant(
    'one failure more than allowed',
    edit(ATTEMPT, 'failures < policy.max_attempts', 'failures <= policy.max_attempts'),
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
    edit(ATTEMPT, "FAILURES[cause.code].retry !== 'never' &&", ''),
  ),
  ...EFFECT_MUTANTS,
  ...MEMORY_MUTANTS,
];
