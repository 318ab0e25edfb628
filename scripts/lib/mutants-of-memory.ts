import {
  ATTEMPT,
  ENGINE,
  MACHINE,
  OBJECT,
  PROJECT,
  RENDERERS,
  REPORTS,
  SCHEDULE,
  edit,
  harmless,
  mutant,
} from './mutant.ts';
import type { Mutant } from './mutant.ts';

/** Bugs in what the object may forget, in the sockets that remember it, and in what is paid for it. */
export const MEMORY_MUTANTS: readonly Mutant[] = [
  // Doubt.
  mutant(
    'an object that forgot grants a lease each time',
    edit(
      MACHINE,
      'if (job.request === null || job.quietSince !== null) return job;',
      'if (job.request === null) return job;',
    ),
  ),
  mutant(
    'an object that forgot grants no lease',
    edit(MACHINE, 'const job = given.forgot ? doubted(was, given) : was;', 'const job = was;'),
  ),
  mutant(
    'a report does not end the doubt',
    edit(REPORTS, 'updatedAt: now, quietSince: null }', 'updatedAt: now }'),
  ),
  mutant(
    'that a report ended the doubt is not kept',
    edit(REPORTS, 'const isKept = was.quietSince !== null;', 'const isKept = false;'),
  ),
  mutant(
    'a closed socket takes the doubt back',
    edit(ATTEMPT, 'Math.max(job.heartbeatAt, job.quietSince ?? 0)', 'job.heartbeatAt'),
  ),
  // Sockets of renderers.
  mutant(
    'reports are not remembered by the socket',
    edit(ENGINE, '    this.#renderers.remember(job, !isKept);\n', ''),
  ),
  mutant(
    'a socket that closes while the object sleeps is not asked what it remembers',
    edit(
      RENDERERS,
      'isSame(leaving, owner) ? leaving.hint : null',
      'isSame(leaving, owner) ? null : null',
    ),
  ),
  harmless(
    'a socket that was replaced is believed',
    'needs a close that is told minutes late to an object that slept meanwhile: no world of 6000 has one',
    edit(
      RENDERERS,
      'if (owner) socket.serializeAttachment({ role: TAG, ...owner, hint: null });',
      '',
    ),
  ),
  mutant(
    'a fenced renderer stays connected',
    edit(RENDERERS, "      closeBack(socket, CLOSE_CODES.fenced, 'stop');\n", ''),
  ),
  mutant(
    'a closed socket does not shorten the lease',
    edit(
      MACHINE,
      'const leaseUntil = job.heartbeatAt + leaseOf(job, given.policy);',
      'const { leaseUntil } = job;',
    ),
  ),
  mutant(
    'nobody hears that a socket has closed',
    edit(OBJECT, "this.#engine.apply({ type: 'hung_up', by })", 'undefined'),
  ),
  harmless(
    'a report by POST takes the patience of an open socket back',
    'nobody is lost too early or later than an open socket allows: the alarm stays where it is',
    edit(REPORTS, 'Math.max(job.leaseUntil, now + patience)', 'now + patience'),
  ),
  // Numbers.
  mutant(
    'a note takes the number of a change',
    edit(REPORTS, 'reportSeqOf(job.seq, progress)', 'reportSeqOf(job.seq, progress) + 1000'),
  ),
  mutant(
    'progress is finer than its number tells',
    edit(REPORTS, 'permilleOf(reported) / 10', 'reported'),
  ),
  mutant(
    'what a viewer saw is taken back after a crash',
    edit(
      PROJECT,
      "if (since === null || job.state !== 'running' || since <= view.seq) return view;",
      'if (since !== -1) return view;',
    ),
  ),
  // Money.
  mutant(
    'the spend cap does not end an attempt',
    edit(SCHEDULE, 'spendBy: spendBy(job, policy),', 'spendBy: Number.POSITIVE_INFINITY,'),
  ),
  mutant(
    'a lost attempt is repeated though nothing is left to spend',
    edit(ATTEMPT, '  if (isSpent(job, given.policy, given.now)) {', '  if (job.attempt < 0) {'),
  ),
  mutant(
    'a failed attempt is repeated though nothing is left to spend',
    edit(ATTEMPT, 'return isSpent(job, given.policy, given.now)\n', 'return job.attempt < 0\n'),
  ),
];
