// Responsible for the verdict: what must hold, said of what was seen from outside. Pure.
import type { Promised } from './client.ts';
import type { Row } from './disk.ts';
import { announcesEnd, statusIn, type Heard, type Watched } from './viewer.ts';
import { fallOfProgress, fallOfSeq, missed } from './stream.ts';
import { isEnd, type JobView, type StatusReply } from './view.ts';

/** What must hold, in the order of the table. */
export const INVARIANTS = [
  'every accepted job ended in time',
  'an ended job never changed',
  'D1 says the same as the object',
  'complete: the file is there and whole',
  'an acknowledged end is the end',
  'attempts stay within their limit',
  'repeated creates made one job',
  'nothing valid was refused',
  'viewers: seq never falls',
  'viewers: progress never falls within an attempt',
  'viewers: nothing after the end',
  'viewers: the end is heard, and the same',
  'viewers: one that resumes misses no change',
  'nothing is left in an outbox',
  'no encoder is left',
] as const;
export type Invariant = (typeof INVARIANTS)[number];

export interface Violation {
  readonly invariant: Invariant;
  readonly about: string;
  readonly detail: string;
}

/** What the file of a complete job turned out to be. */
export interface FileSeen {
  readonly problem: string | null;
  readonly size: number;
  readonly sha256: string;
  readonly frames: number | undefined;
}

export interface JobEvidence {
  readonly id: string;
  readonly promised: Promised | null;
  readonly status: StatusReply | null;
  /** The object once more, some seconds later. */
  readonly later: StatusReply | null;
  readonly row: Row | undefined;
  readonly file: FileSeen | null;
}

export interface Evidence {
  readonly jobs: readonly JobEvidence[];
  readonly promised: readonly Promised[];
  readonly watched: readonly Watched[];
  /** Changes of rows in D1 that may not be, seen while the run went on. */
  readonly rowChanges: readonly { readonly id: string; readonly detail: string }[];
  /** Jobs whose renderer was told 200 to its \`complete\`. */
  readonly completed: ReadonlySet<string>;
  /** The numbers of all changes of state, by job, as far as a server keeps them. */
  readonly changes: ReadonlyMap<string, readonly number[]>;
  readonly outboxes: readonly string[];
  readonly encoders: readonly string[];
}

/** Everything in the evidence that may not be. */
export function violationsIn(evidence: Evidence): Violation[] {
  const { jobs, promised, watched, rowChanges, outboxes, encoders, completed } = evidence;
  return [
    ...jobs.flatMap((job) => judgeJob(job, completed.has(job.id))),
    ...promised.flatMap(judgePromise),
    ...watched.flatMap((one) => judgeViewer(one, evidence)),
    ...rowChanges.map(({ id, detail }) => violation('an ended job never changed', id, detail)),
    ...outboxes.map((left) => violation('nothing is left in an outbox', left, 'still there')),
    ...encoders.map((left) => violation('no encoder is left', left, 'still runs')),
  ];
}

function violation(invariant: Invariant, about: string, detail: string): Violation {
  return { invariant, about, detail };
}

/** Of findings, those that found something. */
function found(
  about: string,
  findings: readonly (readonly [Invariant, string | null])[],
): Violation[] {
  return findings.flatMap(([invariant, detail]) =>
    detail === null ? [] : [violation(invariant, about, detail)],
  );
}

function judgeJob(evidence: JobEvidence, completed: boolean): Violation[] {
  const { id, promised, status, later, row, file } = evidence;
  const job = status?.job;
  // Whoever sent that create was answered with another job, or would have been.
  if (!promised) return [violation('repeated creates made one job', id, 'a job that nobody knows')];
  if (!job) return [violation('every accepted job ended in time', id, 'the object knows no job')];
  const isOver = isEnd(job.status);
  const { parked } = status;
  return found(id, [
    ['every accepted job ended in time', isOver ? null : shortly(job)],
    ['an ended job never changed', isOver ? changeOf(job, later?.job) : null],
    ['D1 says the same as the object', differenceOf(job, row)],
    ['complete: the file is there and whole', fileProblem(job, file, promised.frames)],
    ['an acknowledged end is the end', promised.cancelled ? otherThan('cancelled', job) : null],
    ['an acknowledged end is the end', completed ? otherThan('complete', job) : null],
    ['attempts stay within their limit', tooManyAttempts(job)],
    ['nothing is left in an outbox', parked.length > 0 ? JSON.stringify(parked) : null],
  ]);
}

/** Links are signed anew each time they are shown; everything else must stay. */
function changeOf(before: JobView, after: JobView | undefined): string | null {
  const bare = (job: JobView | undefined) => JSON.stringify({ ...job, output_url: '' });
  return bare(before) === bare(after) ? null : `${shortly(before)} became ${shortly(after)}`;
}

function otherThan(end: string, job: JobView): string | null {
  return job.status === end ? null : `${end} was acknowledged; ${shortly(job)}`;
}

function tooManyAttempts({ attempt, retry_count, max_attempts: most = 3 }: JobView): string | null {
  const made = attempt ?? (retry_count ?? 0) + 1;
  return made > most ? `${made} of ${most}` : null;
}

function differenceOf(job: JobView, row: Row | undefined): string | null {
  if (!row) return `no row for ${shortly(job)}`;
  const same =
    row.status === job.status &&
    (row.progress ?? 0) === (job.progress ?? 0) &&
    (row.output_video_key ?? null) === (job.output_video_key ?? null) &&
    (row.rev === undefined || row.rev === job.seq);
  if (same) return null;
  const rev = row.rev === undefined ? '' : ` rev ${row.rev}`;
  return `row: ${row.status} ${row.progress} %${rev}; object: ${shortly(job)}`;
}

function fileProblem(job: JobView, file: FileSeen | null, planned: number | null): string | null {
  if (job.status !== 'complete') return null;
  if (!file) return 'it was never looked at';
  if (file.problem) return file.problem;
  const { output } = job;
  if (output && output.size !== file.size) return `${file.size} bytes, not ${output.size}`;
  if (output && output.sha256 !== file.sha256) return 'another checksum';
  if (output && output.frames !== file.frames) return `${file.frames} frames, not ${output.frames}`;
  return planned === file.frames ? null : `${file.frames} frames, not the planned ${planned}`;
}

function judgePromise({ plan, ids, refusals }: Promised): Violation[] {
  const refused = refusals.map((text) => violation('nothing valid was refused', plan.key, text));
  if (ids.size === 1) return refused;
  const invariant =
    ids.size === 0 ? 'every accepted job ended in time' : 'repeated creates made one job';
  return [...refused, violation(invariant, plan.key, `${ids.size} jobs: ${[...ids].join(', ')}`)];
}

function judgeViewer({ heard, jobId, plan }: Watched, { jobs, changes }: Evidence): Violation[] {
  const job = jobs.find(({ id }) => id === jobId)?.status?.job;
  return found(jobId, [
    ['viewers: seq never falls', fallOfSeq(heard, plan.resumes)],
    ['viewers: progress never falls within an attempt', fallOfProgress(heard, plan.resumes)],
    ['viewers: nothing after the end', afterEnd(heard)],
    ['viewers: the end is heard, and the same', otherEnd(heard, job)],
    [
      'viewers: one that resumes misses no change',
      plan.resumes ? missed(heard, changes.get(jobId) ?? []) : null,
    ],
  ]);
}

function otherEnd(heard: readonly Heard[], job: JobView | undefined): string | null {
  const end = heard.find(({ message }) => announcesEnd(message))?.message;
  if (!end) return `not heard in ${heard.length} messages`;
  if (job === undefined || statusIn(end) === job.status) return null;
  return `heard ${statusIn(end)}, it was ${job.status}`;
}

/** What speaks of anything but the end once the end was heard. */
function afterEnd(heard: readonly Heard[]): string | null {
  const first = heard.findIndex(({ message }) => announcesEnd(message));
  const end = heard[first]?.message;
  if (!end) return null;
  const other = heard.slice(first + 1).find(({ message }) => {
    const status = statusIn(message) ?? message.type;
    return status !== statusIn(end) || message.seq !== end.seq;
  });
  return other ? `${other.message.type} ${statusIn(other.message)} after ${statusIn(end)}` : null;
}

function shortly(job: JobView | undefined): string {
  if (!job) return 'nothing';
  const { status, progress, attempt, seq, error, error_code } = job;
  const more = [
    attempt === undefined ? null : `attempt ${attempt}`,
    seq === undefined ? null : `seq ${seq}`,
    error_code ?? error ?? null,
  ];
  return [status, `${progress} %`, ...more].filter((part) => part !== null).join(', ');
}
