import type { ExportJob, FeedMessage, FeedQuery } from '@export-jobs/protocol';
import { settingsOf } from '../lib/env.ts';
import type { Env } from '../lib/env.ts';
import { deletedSince, endedSince, liveJobs } from '../lib/job-views.ts';
import { relink } from '../lib/links.ts';
import { messageOf } from '../lib/messages.ts';
import { within } from '../lib/within.ts';
import { framesOf, isFor } from './feed-news.ts';
import type { News } from './feed-news.ts';
import { sendQuietly } from './sockets.ts';

// Responsible for what D1 knows of an owner's jobs, as it is told to the viewers of its feed.

/** Changes of this long before a cursor are told again, ms: the clocks of objects differ. */
export const OVERLAP_MS = 60_000;
/** Longer than D1 ever takes in health, ms; who comes next waits for it. */
const PATIENCE_MS = 10_000;
/** How far apart the cursors of two newcomers may be who are told the same, ms. */
const ALIKE_MS = 60_000;

/** What somebody who comes asks for. */
export type Newcomer = FeedQuery & { readonly bound: boolean };

/**
 * Tells newcomers of the jobs that have not ended and of those that changed since they were here; then that this is
 * all. What goes on is read once for all of them, what changed once for those who were here at the same time.
 * Returns the ids of the jobs under way.
 */
export async function tellNewcomers(
  env: Env,
  tenant: string,
  newcomers: ReadonlyMap<WebSocket, Newcomer>,
): Promise<string[]> {
  const cursor = Date.now();
  const all = [...newcomers].map(([socket, query]) => ({ socket, query, since: sinceOf(query) }));
  const running = await within(PATIENCE_MS, async (signal) => {
    const ids: string[] = [];
    for await (const page of livePages(env, tenant)) {
      signal.throwIfAborted();
      tellPage(page, all);
      ids.push(...idsUnderWay(page));
    }
    for (const since of new Set(all.map((one) => one.since))) {
      if (since === null) continue;
      const page = await changesOf(env, tenant, since);
      signal.throwIfAborted();
      tellPage(
        page,
        all.filter((one) => one.since === since),
      );
    }
    return ids;
  });
  const ready = JSON.stringify({ type: 'ready', cursor } satisfies FeedMessage);
  for (const { socket } of all) sendQuietly(socket, ready);
  return running;
}

/** Tells again what changed since, epoch ms. Returns the ids of the jobs under way. */
export async function tellAgain(
  env: Env,
  tenant: string,
  since: number,
  tell: (news: News) => void,
): Promise<string[]> {
  return await within(PATIENCE_MS, async (signal) => {
    const ids: string[] = [];
    for await (const page of livePages(env, tenant)) {
      signal.throwIfAborted();
      for (const { news, at } of page) if (at >= since) tell(news);
      ids.push(...idsUnderWay(page));
    }
    const changes = await changesOf(env, tenant, since);
    signal.throwIfAborted();
    for (const { news } of changes) tell(news);
    return ids;
  });
}

/** What D1 knows of a job: how it is, or that it was deleted. */
interface Known {
  readonly news: News;
  /** Null when it was deleted. */
  readonly job: ExportJob | null;
  /** When it changed last, epoch ms. */
  readonly at: number;
}

function sinceOf({ since }: Newcomer): number | null {
  if (since === undefined) return null;
  return Math.floor((since - OVERLAP_MS) / ALIKE_MS) * ALIKE_MS;
}

interface Reader {
  readonly socket: WebSocket;
  readonly query: Newcomer;
}

/** Those who ask for the same get the same frames, made once. */
function tellPage(page: readonly Known[], readers: readonly Reader[]): void {
  const told = page.map((known) => ({ known, text: JSON.stringify(known.news.message) }));
  const made = new Map<string, readonly string[]>();
  for (const { socket, query } of readers) {
    const { tag, bound, status, batch } = query;
    const key = JSON.stringify([tag, bound, status, batch]);
    const meant = () => told.filter(({ known }) => isShown(query, known)).map(({ text }) => text);
    const frames = made.get(key) ?? framesOf(meant(), batch !== undefined);
    made.set(key, frames);
    for (const frame of frames) sendQuietly(socket, frame);
  }
}

function isShown({ tag, bound, status }: Newcomer, { news, job }: Known): boolean {
  if (!isFor({ tag: tag ?? null, bound }, news.tags)) return false;
  return job === null || status === undefined || job.status === status;
}

function idsUnderWay(page: readonly Known[]): string[] {
  return page.flatMap(({ job }) => (job?.status === 'processing' ? [job.id] : []));
}

async function* livePages(env: Env, tenant: string): AsyncGenerator<Known[]> {
  for await (const jobs of liveJobs(env.DB, tenant)) yield jobs.map((job) => knownOf(env, job));
}

/** The jobs that ended since, and those that were deleted. */
async function changesOf(env: Env, tenant: string, since: number): Promise<Known[]> {
  const { job_ms: lifeMs } = settingsOf(env).POLICY;
  const ended = await endedSince(env.DB, tenant, { since, lifeMs });
  const deleted = await deletedSince(env.DB, tenant, since);
  return [
    ...ended.map((job) => knownOf(env, job)),
    ...deleted.map((job_id): Known => ({
      news: { message: { type: 'deleted', job_id }, tags: null },
      job: null,
      at: since,
    })),
  ];
}

function knownOf(env: Env, stored: ExportJob): Known {
  const job = relink(stored, settingsOf(env));
  return { news: { message: messageOf(job, 'snapshot'), tags: job.tags }, job, at: job.updated_at };
}
