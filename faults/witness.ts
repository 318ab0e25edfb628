// Responsible for looking at a system from outside: at what D1 becomes while a run goes on, and at
// everything once it has settled.
import { createHash } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { inspect } from '../e2e/support/media.ts';
import { processes } from '../e2e/support/processes.ts';
import type { FileSeen, JobEvidence } from './check.ts';
import type { Promised } from './client.ts';
import { leftInOutboxes, rowsOf, type Row } from './disk.ts';
import { isEnd, parsed, StatusReply, type JobView } from './view.ts';

const LOOK_MS = 500;

/** Watches the rows of D1, from the disk, so that looking heals nothing. */
export class RowWatcher {
  readonly changes: { id: string; detail: string }[] = [];
  #changedAt = Date.now();
  readonly #dataDir: string;
  readonly #rows = new Map<string, Row>();
  readonly #over = new AbortController();
  readonly #watching: Promise<void>;

  constructor(dataDir: string) {
    this.#dataDir = dataDir;
    this.#watching = this.#watch();
  }

  /** For how long no row has changed, ms. */
  get quietMs(): number {
    return Date.now() - this.#changedAt;
  }

  /** The rows as they were seen last. */
  get rows(): ReadonlyMap<string, Row> {
    return this.#rows;
  }

  /** Whether these jobs have ended as far as D1 knows, and no effect waits anywhere. */
  isSettled(ids: readonly string[]): boolean {
    const ended = ids.every((id) => isEnd(this.#rows.get(id)?.status ?? ''));
    return ended && (orNothing(() => leftInOutboxes(this.#dataDir))?.length ?? 1) === 0;
  }

  async close(): Promise<void> {
    this.#over.abort();
    await this.#watching;
  }

  async #watch(): Promise<void> {
    const { signal } = this.#over;
    while (!signal.aborted) {
      for (const row of orNothing(() => rowsOf(this.#dataDir)) ?? []) this.#compare(row);
      await sleep(LOOK_MS, undefined, { signal }).catch(() => undefined);
    }
  }

  #compare(row: Row): void {
    const before = this.#rows.get(row.id);
    this.#rows.set(row.id, row);
    if (JSON.stringify(before) !== JSON.stringify(row)) this.#changedAt = Date.now();
    if (!before) return;
    const say = (detail: string) => this.changes.push({ id: row.id, detail });
    if ((row.rev ?? 0) < (before.rev ?? 0)) say(`the row fell from ${before.rev} to ${row.rev}`);
    if (isEnd(before.status) && row.status !== before.status) {
      say(`the row was ${before.status} and became ${row.status}`);
    }
  }
}

/** A database that is being written or made cannot be read for a moment. */
function orNothing<T>(read: () => T): T | null {
  try {
    return read();
  } catch {
    return null;
  }
}

/** What the object says of a job; null when it knows none or does not answer. */
export async function statusOf(base: string, id: string): Promise<StatusReply | null> {
  try {
    const signal = AbortSignal.timeout(10_000);
    const response = await fetch(`${base}/api/jobs/${id}/do/status`, { signal });
    return parsed(StatusReply, await response.text());
  } catch {
    return null;
  }
}

export interface Settled {
  readonly base: string;
  readonly dataDir: string;
  readonly promised: readonly Promised[];
  readonly rows: ReadonlyMap<string, Row>;
}

/** Looks at every job that a client was promised, and at all that D1 has besides. */
export async function lookAtJobs(settled: Settled, laterMs: number): Promise<JobEvidence[]> {
  const { base, dataDir, promised, rows } = settled;
  const ids = new Set([...promised.flatMap(({ ids }) => [...ids]), ...rows.keys()]);
  const first = new Map<string, StatusReply | null>();
  for (const id of ids) first.set(id, await statusOf(base, id));
  const files = new Map<string, FileSeen>();
  for (const [id, status] of first) {
    if (status?.job.status !== 'complete') continue;
    files.set(id, await fileOf(base, status.job, path.join(dataDir, 'looked-at')));
  }
  await sleep(laterMs);
  const found: JobEvidence[] = [];
  for (const [id, status] of first) {
    found.push({
      id,
      promised: promised.find(({ ids }) => ids.has(id)) ?? null,
      status,
      later: await statusOf(base, id),
      row: rows.get(id),
      file: files.get(id) ?? null,
    });
  }
  return found;
}

/** Downloads and decodes what a complete job has made. */
async function fileOf(base: string, job: JobView, file: string): Promise<FileSeen> {
  const nothing = { size: 0, sha256: '', frames: undefined };
  const url =
    job.output_url ?? `/api/videos/download/${encodeURIComponent(job.output_video_key ?? '')}`;
  try {
    const response = await fetch(new URL(url, base), { signal: AbortSignal.timeout(20_000) });
    if (!response.ok) return { ...nothing, problem: `the download answers ${response.status}` };
    const bytes = Buffer.from(await response.arrayBuffer());
    await writeFile(file, bytes);
    const { frames } = await inspect(file);
    const sha256 = createHash('sha256').update(bytes).digest('hex');
    return { problem: null, size: bytes.length, sha256, frames };
  } catch (error) {
    return { ...nothing, problem: String(error).split('\n')[0] ?? 'unreadable' };
  }
}

/**
 * Waits until no encoder runs below a folder.
 * @returns those that are left after `patienceMs`.
 */
export async function encodersLeft(folder: string, patienceMs: number): Promise<string[]> {
  const deadline = Date.now() + patienceMs;
  for (;;) {
    const left = processes()
      .filter(({ program, cwd }) => program === 'ffmpeg' && cwd.startsWith(folder))
      .map(({ pid, cwd }) => `${pid} in ${path.basename(cwd)}`);
    if (left.length === 0 || Date.now() > deadline) return left;
    await sleep(200);
  }
}
