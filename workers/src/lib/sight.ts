import { isTerminal } from '@export-jobs/protocol';
import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import type { Viewer } from '../access/callers.ts';
import { archivedEvents } from './archive.ts';
import { archivedJob } from './job-views.ts';
import type { Env, Settings } from './env.ts';
import { shownTo } from './links.ts';
import { greetingOf, messageOf } from './messages.ts';
import { objectOf } from './object.ts';

// What a viewer sees of a job, by whatever transport: the object's own socket, or what it has left.

/** What the object is told of a viewer: whose job it may see, from where on, until when, and how much of it. */
export function queryOf(
  { rights, until, tenant }: Viewer,
  since: string | undefined,
): URLSearchParams {
  return new URLSearchParams({
    of: tenant ?? '',
    ...(since !== undefined && { since }),
    ...(until !== null && { until: `${until}` }),
    ...(!rights.includes('download') && { links: '0' }),
  });
}

/** Opens a socket to the object; what the caller sent travels along. */
export function forwardToObject(
  env: Env,
  id: string,
  name: string,
  query: URLSearchParams,
  request: Request,
): Promise<Response> {
  const url = new URL(`/${name}`, request.url);
  url.search = query.toString();
  return objectOf(env, id).fetch(new Request(url, request));
}

/** The cursor that a caller names, or null for none. */
export function cursorOf(since: string | undefined): number | null {
  return since !== undefined && /^\d{1,15}$/.test(since) ? Number(since) : null;
}

/** What D1 has of a job without an object: its end, an intention, or nothing. */
export type LastSight =
  | { kind: 'over'; job: ExportJob; messages: JobMessage[] }
  | { kind: 'intended'; job: ExportJob }
  | { kind: 'unknown' };

/** What is left of a job whose object does not know it: the same messages as the object would send. */
export async function lastSight(
  env: Env,
  settings: Settings,
  viewer: Viewer,
  since: string | undefined,
): Promise<LastSight> {
  const { id, tenant } = viewer;
  const archived = await archivedJob(env.DB, id, tenant);
  if (!archived) return { kind: 'unknown' };
  if (!isTerminal(archived.status)) return { kind: 'intended', job: archived };
  const job = shownTo(viewer, archived, settings);
  const cursor = cursorOf(since);
  const lines = cursor === null ? null : await archivedEvents(env.DB, id, tenant);
  const missed = (lines ?? []).filter(({ seq }) => seq > (cursor ?? 0) && seq < job.seq);
  const messages = missed.map(({ view }) => messageOf(shownTo(viewer, view, settings), 'snapshot'));
  return { kind: 'over', job, messages: [...messages, ...greetingOf(job)] };
}
