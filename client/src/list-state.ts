import type { ExportJob, JobStatus, ListReply } from '@export-jobs/protocol';
import { advance } from './advance.ts';
import { isEnded } from './guards.ts';
import { newestFirst } from './order.ts';

export interface ListState {
  jobs: readonly ExportJob[];
  /** Null when there is nothing more to load. */
  cursor: string | null;
  loading: boolean;
  /** Whether a first page has arrived. */
  loaded: boolean;
  error: Error | null;
}

export const NO_LIST: ListState = {
  jobs: [],
  cursor: null,
  loading: false,
  loaded: false,
  error: null,
};

export type ListEvent =
  | { type: 'loading' }
  | { type: 'first'; page: ListReply }
  | { type: 'more'; page: ListReply }
  | { type: 'failed'; error: Error };

export function listReducer(state: ListState, event: ListEvent): ListState {
  switch (event.type) {
    case 'loading':
      return { ...state, loading: true, error: null };
    case 'first':
      return { ...settled, ...withFirstPage(state, event.page) };
    case 'more':
      return {
        ...settled,
        jobs: joined(state.jobs, event.page.data),
        cursor: event.page.next_cursor,
      };
    case 'failed':
      return { ...state, loading: false, error: event.error };
  }
}

const settled = { loading: false, loaded: true, error: null };

/** A fresh first page in front of the older pages that were loaded already. */
function withFirstPage(state: ListState, page: ListReply): Pick<ListState, 'jobs' | 'cursor'> {
  const oldest = page.data.at(-1);
  const older =
    oldest === undefined ? [] : state.jobs.filter((job) => job.created_at <= oldest.created_at);
  return older.length === 0
    ? { jobs: page.data, cursor: page.next_cursor }
    : { jobs: joined(page.data, older), cursor: state.cursor };
}

function joined(first: readonly ExportJob[], rest: readonly ExportJob[]): ExportJob[] {
  const seen = new Set(first.map((job) => job.id));
  return [...first, ...rest.filter((job) => !seen.has(job.id))];
}

/** Of what is live and what was listed of a job the newer; the live one when they are as new. */
function newer(live: ExportJob, listed: ExportJob): ExportJob {
  if (isEnded(live) || (listed.seq <= live.seq && !isEnded(listed))) return live;
  return advance(live, listed);
}

/**
 * The rows of the pages that were loaded, newest first: the list says how far they go back (`cursor`: not to
 * the first job of all), and what is heard live says what there is of them and, where it is newer, how it is.
 */
export function onPages(known: {
  listed: readonly ExportJob[];
  cursor: string | null;
  live: readonly ExportJob[];
  deleted: ReadonlySet<string>;
  status: JobStatus | undefined;
}): readonly ExportJob[] {
  const { listed, cursor, live, deleted, status } = known;
  const oldest = (cursor !== null && listed.at(-1)?.created_at) || 0;
  const rows = new Map(live.map((job) => [job.id, job]));
  for (const job of listed) rows.set(job.id, newer(rows.get(job.id) ?? job, job));
  return [...rows.values()]
    .filter((job) => !deleted.has(job.id) && job.created_at >= oldest)
    .filter((job) => (status ?? job.status) === job.status)
    .toSorted(newestFirst);
}
