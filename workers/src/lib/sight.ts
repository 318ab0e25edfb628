import { isTerminal } from '@export-jobs/protocol';
import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import { archivedEvents, archivedJob } from './d1.ts';
import type { Env, Settings } from './env.ts';
import { relink } from './links.ts';
import { greetingOf, messageOf } from './messages.ts';
import { objectOf } from './object.ts';

// What a viewer sees of a job, by whatever transport: the object's own socket, or what it has left.

/** Which job, for whom, and after which number. */
export interface Asked {
  readonly id: string;
  /** Whose it must be; null when the caller has proven that it may see this one. */
  readonly tenant: string | null;
  readonly since: string | undefined;
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
export async function lastSight(env: Env, settings: Settings, asked: Asked): Promise<LastSight> {
  const { id, tenant, since } = asked;
  const archived = await archivedJob(env.DB, id, tenant);
  if (!archived) return { kind: 'unknown' };
  if (!isTerminal(archived.status)) return { kind: 'intended', job: archived };
  const job = relink(archived, settings);
  const cursor = cursorOf(since);
  const lines = cursor === null ? null : await archivedEvents(env.DB, id, tenant);
  const missed = (lines ?? []).filter(({ seq }) => seq > (cursor ?? 0) && seq < job.seq);
  const messages = missed.map(({ view }) => messageOf(view, 'snapshot'));
  return { kind: 'over', job, messages: [...messages, ...greetingOf(job)] };
}
