// Responsible for the order of what one viewer hears: numbers, progress, and that nothing is missed. Pure.
import type { Heard } from './viewer.ts';
import type { Message } from './view.ts';

/** Which change a number belongs to: its thousands. The rest is the permille of progress reported since. */
function changeOf(seq: number): number {
  return Math.floor(seq / 1000);
}

/** What happened after the first thing that was heard, and was not. */
export function missed(heard: readonly Heard[], changes: readonly number[]): string | null {
  const seen = new Set(heard.flatMap(({ message }) => message.seq ?? []));
  const first = Math.min(...seen);
  const gone = changes.filter((seq) => seq > first && !seen.has(seq));
  return gone.length > 0 ? `seq ${gone.join(', ')}` : null;
}

/**
 * Numbers that fall. A server that died has forgotten what was only reported, so on another connection
 * than the one that brought them reports may fall behind, and what a viewer is told that names no number.
 */
export function fallOfSeq(heard: readonly Heard[], resumes: boolean): string | null {
  let last = { seq: 0, connection: -1 };
  for (const { connection, message } of heard) {
    const { seq } = message;
    if (seq === undefined) continue;
    if (seq < last.seq && !isForgotten(message, connection, last, resumes)) {
      return `${seq} after ${last.seq}`;
    }
    if (seq !== last.seq) last = { seq, connection };
  }
  return null;
}

interface Seen {
  readonly seq: number;
  /** Which connection brought that number first. */
  readonly connection: number;
}

function isForgotten(
  { type, seq = 0 }: Message,
  connection: number,
  last: Seen,
  resumes: boolean,
): boolean {
  const isSameChange = changeOf(seq) === changeOf(last.seq);
  return connection !== last.connection && isSameChange && (type === 'progress' || !resumes);
}

/** Progress that falls, as a viewer sees it who drops what has a smaller number. */
export function fallOfProgress(heard: readonly Heard[], resumes: boolean): string | null {
  let last = { line: '', progress: 0, seq: 0, connection: -1 };
  for (const { line, progress, seq = last.seq + 1, connection } of linesOf(heard)) {
    if (resumes && seq < last.seq) continue;
    const falls = line === last.line && progress < last.progress;
    if (falls && !mayHaveForgotten(seq, connection, last, resumes)) {
      return `${progress} after ${last.progress}, ${line}`;
    }
    last = { line, progress, seq, connection: seq === last.seq ? last.connection : connection };
  }
  return null;
}

/**
 * What was said of progress, and of which attempt. A server that does not name the attempt gets the
 * benefit of the doubt: a new connection, or a status that is pending, may be another one.
 */
function linesOf(heard: readonly Heard[]) {
  let restarts = 0;
  return heard.flatMap(({ connection, message }) => {
    const { seq, status, job } = message;
    const attempt = job?.attempt ?? message.attempt;
    if (attempt === undefined && status === 'pending') restarts += 1;
    const line = `attempt ${attempt ?? `${connection}/${restarts}`}`;
    const progress = message.progress ?? job?.progress;
    return typeof progress === 'number' ? [{ line, progress, seq, connection }] : [];
  });
}

/** The next change may be made by a server that forgot; until then its viewers remind it. */
function mayHaveForgotten(seq: number, connection: number, last: Seen, resumes: boolean): boolean {
  if (connection === last.connection) return false;
  return !resumes || changeOf(seq) > changeOf(last.seq);
}
