// Responsible for the verdict: what each transport promises, held against what a viewer saw. Pure.
import type { Transport } from './plan.ts';
import { isOver, type Sighting } from './sighting.ts';

/** Who watches: by a transport, or a page in a browser, by the SDK. */
export type Kind = Transport | 'page';

/** How long a viewer may take to learn of an end that is there, on a network that works again, ms. */
export const PATIENCE_MS = 45_000;
/** What was said before something was forgotten may arrive so much later, ms. */
const DELAY_MS = 5000;

/** What can be wrong, in the order of the table. */
export const WRONGS = ['missed', 'fell', 'after the end', 'wrong end', 'stuck', 'refused'] as const;
export type Wrong = (typeof WRONGS)[number];

export interface Violation {
  readonly wrong: Wrong;
  readonly detail: string;
}

/** What a job came to. */
export interface Truth {
  readonly id: string;
  /** How it had to end, by what its renderers and its owner did. */
  readonly planned: string;
  /** As its object says. */
  readonly status: string;
  readonly seq: number;
  readonly endedAt: number;
  /** The numbers of all its changes of state. */
  readonly changes: readonly number[];
  /** As D1 says. */
  readonly row: { readonly status: string; readonly seq: number } | null;
}

export interface Spectator {
  readonly name: string;
  readonly transport: Kind;
  /** Which job it watched; a feed watches all. */
  readonly jobId: string;
  readonly arrivedAt: number;
  /** When a feed had told all that there was to tell for the first time; null when it never had. */
  readonly readyAt: number | null;
  readonly sightings: readonly Sighting[];
  readonly refusals: readonly string[];
}

/** What was on no disk was forgotten by a job's object, or by all (null), at some moment of these (epoch ms). */
export interface Forgetting {
  readonly jobId: string | null;
  readonly from: number;
  readonly to: number;
}

export interface Evidence {
  readonly truths: readonly Truth[];
  readonly forgotten: readonly Forgetting[];
  readonly healedAt: number;
}

export interface Judgement {
  readonly violations: readonly Violation[];
  /** From when an end could be known until it was, ms; the longest of a feed's. */
  readonly learntMs: number;
}

/** What a transport promises of the changes it shows, and whether its numbers may be forgotten. */
interface Promised {
  /** Whether each change is shown, from the first sighting on or from the beginning. */
  readonly changes: 'all' | 'since the first' | 'the latest';
  /** Who names no number may be shown a smaller one after the server forgot. */
  readonly namesNumber: boolean;
  /** Who forgets nothing itself is never shown less of an attempt, or of the whole job. */
  readonly keepsProgress: boolean;
  /** May tell the same twice: the viewer drops what has a smaller number. */
  readonly repeats: boolean;
}

const CURSOR: Promised = {
  changes: 'since the first',
  namesNumber: true,
  keepsProgress: false,
  repeats: false,
};
const SDK: Promised = { ...CURSOR, keepsProgress: true };

const PROMISES: Readonly<Record<Kind, Promised>> = {
  socket: CURSOR,
  stream: CURSOR,
  'long poll': { ...CURSOR, changes: 'all' },
  'plain GET': { ...CURSOR, changes: 'the latest', namesNumber: false },
  SDK,
  'SDK without sockets': SDK,
  'SDK with polls only': SDK,
  page: SDK,
  feed: { ...CURSOR, changes: 'the latest', repeats: true },
};

/** Everything that a viewer was shown and may not be, or was not shown and must be. */
export function judge(spectator: Spectator, evidence: Evidence): Judgement {
  const views = truthsFor(spectator, evidence).map((truth) => viewOf(spectator, truth));
  const violations = views.flatMap((view) => judgeView(view, evidence));
  const refused = spectator.refusals.map((detail): Violation => ({ wrong: 'refused', detail }));
  const neverReady = spectator.transport === 'feed' && spectator.readyAt === null;
  const unready = neverReady ? [violation('stuck', 'the feed was never ready')] : [];
  return {
    violations: [...violations, ...refused, ...unready],
    learntMs: Math.max(0, ...views.map((view) => learntMs(view, evidence) ?? Infinity)),
  };
}

/** What is wrong with the jobs themselves, whoever watches. */
export function judgeJobs({ truths }: Evidence): Violation[] {
  return truths.flatMap(({ id, planned, status, seq, row, changes }) => {
    const ended = status === planned ? [] : [`${status}, planned was ${planned}`];
    const same = row?.status === status && row.seq === seq;
    const mirrored = same
      ? []
      : [`D1 says ${row?.status} ${row?.seq}, the object ${status} ${seq}`];
    const logged =
      changes.at(-1) === seq ? [] : [`the log ends with ${changes.at(-1)}, not ${seq}`];
    return [...ended, ...mirrored, ...logged].map((text) =>
      violation('wrong end', `${id}: ${text}`),
    );
  });
}

/** One job, as one viewer saw it. */
interface View {
  readonly truth: Truth;
  readonly arrivedAt: number;
  readonly promised: Promised;
  readonly seen: readonly Sighting[];
}

/** Of a feed all jobs that it has told of, and all that ended after it was ready. */
function truthsFor({ transport, jobId, readyAt, sightings }: Spectator, { truths }: Evidence) {
  if (transport !== 'feed') return truths.filter(({ id }) => id === jobId);
  const told = new Set(sightings.map(({ jobId }) => jobId));
  return truths.filter(
    ({ id, endedAt }) => told.has(id) || (readyAt !== null && endedAt > readyAt),
  );
}

function viewOf({ transport, arrivedAt, sightings }: Spectator, truth: Truth): View {
  const promised = PROMISES[transport];
  const all = sightings.filter(({ jobId }) => jobId === truth.id);
  const seen = promised.repeats ? withoutOlder(all) : all;
  return { truth, arrivedAt, promised, seen };
}

function withoutOlder(sightings: readonly Sighting[]): Sighting[] {
  let last = 0;
  return sightings.filter(({ seq }) => {
    const isNews = seq >= last;
    last = Math.max(last, seq);
    return isNews;
  });
}

function judgeView(view: View, evidence: Evidence): Violation[] {
  const findings: [Wrong, string | null][] = [
    ['missed', missed(view)],
    ['fell', fallOfSeq(view, evidence) ?? fallOfProgress(view, evidence)],
    ['fell', fallOfWhole(view, evidence)],
    ['after the end', afterEnd(view)],
    ['wrong end', wrongEnd(view)],
    ['stuck', stuck(view, evidence)],
  ];
  return findings.flatMap(([wrong, detail]) =>
    detail === null ? [] : [violation(wrong, `${view.truth.id}: ${detail}`)],
  );
}

/** Changes that were skipped: there was something before and something after. */
function missed({ truth, promised, seen }: View): string | null {
  if (promised.changes === 'the latest') return null;
  const numbers = new Set(seen.map(({ seq }) => seq));
  const from = promised.changes === 'all' ? 0 : (seen[0]?.seq ?? Infinity);
  const to = seen.at(-1)?.seq ?? 0;
  const gone = truth.changes.filter((seq) => seq > from && seq < to && !numbers.has(seq));
  return gone.length === 0 ? null : `${gone.join(', ')} of ${truth.changes.join(', ')}`;
}

/** Numbers never fall, but for who names none, within one change, after reports were forgotten. */
function fallOfSeq({ truth, promised, seen }: View, evidence: Evidence): string | null {
  return firstFall(seen, (before, after) => {
    if (after.seq >= before.seq) return null;
    const isSameChange = changeOf(after) === changeOf(before);
    const mayFall = !promised.namesNumber && isSameChange;
    if (mayFall && wasForgotten(truth.id, before, after, evidence)) return null;
    return `${after.seq} after ${before.seq}`;
  });
}

/**
 * Progress never falls within an attempt, but when reports were forgotten: then with the next change, and
 * for who names no number at once.
 */
function fallOfProgress(view: View, evidence: Evidence): string | null {
  return firstFall(view.seen, (before, after) => {
    if (after.attempt < before.attempt) return `attempt ${after.attempt} after ${before.attempt}`;
    if (after.attempt > before.attempt || after.progress >= before.progress) return null;
    if (mayShowLess(view, before, after, evidence)) return null;
    return `${after.progress} % (${after.seq}) after ${before.progress} % (${before.seq})`;
  });
}

/** The progress of the whole job likewise, across its attempts. */
function fallOfWhole(view: View, evidence: Evidence): string | null {
  return firstFall(view.seen, (before, after) => {
    const [most, now] = [before.overall_progress, after.overall_progress];
    if (now >= most || mayShowLess(view, before, after, evidence)) return null;
    return `${now} % of all (${after.seq}) after ${most} % (${before.seq})`;
  });
}

function mayShowLess(
  { truth, promised }: View,
  before: Sighting,
  after: Sighting,
  evidence: Evidence,
): boolean {
  const isExcused = !promised.namesNumber || changeOf(after) > changeOf(before);
  if (!isExcused || promised.keepsProgress) return false;
  return wasForgotten(truth.id, before, after, evidence);
}

function firstFall(
  seen: readonly Sighting[],
  compare: (before: Sighting, after: Sighting) => string | null,
): string | null {
  for (const [n, after] of seen.entries()) {
    const before = seen[n - 1];
    const fall = before && compare(before, after);
    if (fall) return fall;
  }
  return null;
}

function changeOf({ seq }: Sighting): number {
  return Math.floor(seq / 1000);
}

function wasForgotten(
  id: string,
  before: Sighting,
  after: Sighting,
  { forgotten }: Evidence,
): boolean {
  return forgotten.some(
    ({ jobId, from, to }) =>
      (jobId === null || jobId === id) && to >= before.at - DELAY_MS && from <= after.at,
  );
}

function afterEnd({ seen }: View): string | null {
  const end = seen.find(isOver);
  if (!end) return null;
  const rest = seen.slice(seen.indexOf(end) + 1);
  const other = rest.find(({ seq, status }) => seq !== end.seq || status !== end.status);
  return other ? `${other.status} ${other.seq} after ${end.status} ${end.seq}` : null;
}

function wrongEnd({ truth, seen }: View): string | null {
  const end = seen.find(isOver);
  if (!end || (end.status === truth.status && end.seq === truth.seq)) return null;
  return `${end.status} ${end.seq}, it was ${truth.status} ${truth.seq}`;
}

function stuck(view: View, evidence: Evidence): string | null {
  const ms = learntMs(view, evidence);
  if (ms !== null && ms <= PATIENCE_MS) return null;
  const last = view.seen.at(-1);
  const said = last ? `the last it saw was ${last.status} ${last.seq}` : 'it saw nothing';
  return ms === null ? `never saw the end; ${said}` : `saw the end after ${ms} ms`;
}

/** From when the end could be seen; null when it was not. */
function learntMs({ truth, arrivedAt, seen }: View, { healedAt }: Evidence): number | null {
  const end = seen.find(isOver);
  return end ? Math.max(0, end.at - Math.max(truth.endedAt, healedAt, arrivedAt)) : null;
}

function violation(wrong: Wrong, detail: string): Violation {
  return { wrong, detail };
}
