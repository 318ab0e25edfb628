import { isTerminal } from '@export-jobs/protocol';
import type { ExportJob, FeedMessage, FeedQuery } from '@export-jobs/protocol';
import { settingsOf } from '../lib/env.ts';
import type { Env } from '../lib/env.ts';
import { deletedSince, endedSince, liveJobs } from '../lib/job-views.ts';
import { relink } from '../lib/links.ts';
import { messageOf } from '../lib/messages.ts';
import { within } from '../lib/within.ts';
import { framesOf } from './feed-news.ts';
import type { News } from './feed-news.ts';
import { sendQuietly } from './sockets.ts';

// Responsible for what D1 knows of an owner's jobs, as it is told to the viewers of its feed.

/** Changes of this long before a cursor are told again, ms: the clocks of objects differ. */
export const OVERLAP_MS = 60_000;
/** Longer than D1 ever takes in health, ms; who comes next waits for it. */
const PATIENCE_MS = 10_000;

/**
 * Tells newcomers, by one reading for all of them, of the jobs that have not ended and of those that changed since
 * they were here; then that this is all. Returns the ids of the jobs under way.
 */
export async function tellNewcomers(
  env: Env,
  tenant: string,
  newcomers: ReadonlyMap<WebSocket, FeedQuery>,
): Promise<string[]> {
  const cursor = Date.now();
  const all = [...newcomers].map(([socket, { since = null, ...query }]) => ({
    socket,
    query: { ...query, since: since === null ? null : since - OVERLAP_MS },
  }));
  const times = all.flatMap(({ query }) => query.since ?? []);
  const since = times.length === 0 ? null : Math.min(...times);
  const running = await readAll(env, { tenant, since }, (page) => {
    const told = page.map((known) => ({ known, text: JSON.stringify(newsOf(known).message) }));
    for (const { socket, query } of all) {
      const texts = told.filter(({ known }) => isShown(query, known)).map(({ text }) => text);
      for (const frame of framesOf(texts, query.batch !== undefined)) sendQuietly(socket, frame);
    }
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
  return await readAll(env, { tenant, since }, (page) => {
    for (const known of page.filter(({ at }) => at >= since)) tell(newsOf(known));
  });
}

/** What D1 knows of a job: how it is, or that it was deleted. */
type Known = {
  /** When D1 heard that it ended or was deleted, or when it changed while it goes on, epoch ms. */
  readonly at: number;
} & ({ readonly job: ExportJob } | { readonly deleted: string });

type Query = Omit<FeedQuery, 'since'> & { readonly since: number | null };

/** Whether who comes with this is told of it. */
function isShown({ tag, status, since }: Query, known: Known): boolean {
  const isNews = since !== null && known.at >= since;
  if ('deleted' in known) return isNews;
  const { job } = known;
  if (tag !== undefined && !job.tags.includes(tag)) return false;
  if (status !== undefined && job.status !== status) return false;
  return isNews || !isTerminal(job.status);
}

function newsOf(known: Known): News {
  if ('deleted' in known)
    return { message: { type: 'deleted', job_id: known.deleted }, tags: null };
  return { message: messageOf(known.job, 'snapshot'), tags: known.job.tags };
}

interface Question {
  readonly tenant: string;
  /** Also of those that ended or were deleted since, epoch ms; null for none of them. */
  readonly since: number | null;
}

/** Hands on what is read, page by page. Returns the ids of the jobs under way. */
async function readAll(
  env: Env,
  question: Question,
  hear: (page: readonly Known[]) => void,
): Promise<string[]> {
  const running: string[] = [];
  await within(PATIENCE_MS, async () => {
    for await (const page of pagesOf(env, question)) {
      hear(page);
      for (const known of page) {
        if ('job' in known && known.job.status === 'processing') running.push(known.job.id);
      }
    }
  });
  return running;
}

async function* pagesOf(env: Env, { tenant, since }: Question): AsyncGenerator<Known[]> {
  const settings = settingsOf(env);
  const show = (job: ExportJob, at: number) => ({ job: relink(job, settings), at });
  for await (const jobs of liveJobs(env.DB, tenant)) {
    yield jobs.map((job) => show(job, job.updated_at));
  }
  if (since === null) return;
  const { job_ms: lifeMs } = settings.POLICY;
  const ended = await endedSince(env.DB, tenant, { since, lifeMs });
  yield ended.map(({ job, writtenAt }) => show(job, writtenAt));
  yield await deletedSince(env.DB, tenant, since);
}
