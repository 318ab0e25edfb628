import { CreateRequest, ListQuery } from '@export-jobs/protocol';
import type { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { checkJobId, ownerOf, viewerOf } from '../lib/auth.ts';
import { parseOr, readBody } from '../lib/body.ts';
import { settingsOf } from '../lib/env.ts';
import type { Env, Settings } from '../lib/env.ts';
import { derivedId, jobId, randomId } from '../lib/ids.ts';
import { archivedEvents, archivedJob, insertIntent, knownJob, listPage } from '../lib/d1.ts';
import { firstView } from '../lib/first-view.ts';
import { relink } from '../lib/links.ts';
import { objectOf } from '../lib/object.ts';
import { inputKey, reach } from '../lib/r2.ts';
import { Refusal, json, ndjson } from '../lib/respond.ts';
import { knownSpeeds } from '../lib/speeds.ts';
import { signToken } from '../lib/tokens.ts';
import type { Ctx } from './context.ts';
import { pollJob } from './stream.ts';

const VIEWER_TOKEN_MS = 24 * 60 * 60_000;
const IdempotencyKey = v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,255}$/));

/** `POST /api/jobs`: first the row in D1, then the object, so that the sweeper knows of both. */
export async function createJob(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const tenant = ownerOf(c.req.raw, settings);
  const bare = await bareId(tenant, c.req.header('idempotency-key'));
  const body = await readBody(c.req.raw, CreateRequest);
  return answerCreate(c, { id: jobId(settings.ID_KEY, bare), tenant, retryOf: null }, body);
}

interface NewJob {
  id: string;
  tenant: string;
  retryOf: string | null;
}

async function answerCreate(c: Ctx, made: NewJob, body: CreateRequest): Promise<Response> {
  const settings = settingsOf(c.env);
  const { id } = made;
  const requestHash = await derivedId(JSON.stringify(body));
  const job =
    (await repeated(c.env, made, requestHash)) ??
    (await create(c.env, settings, { ...made, requestHash }, body));
  const exp = Date.now() + VIEWER_TOKEN_MS;
  const viewer_token = signToken(settings.SIGNING_KEYS, 'view', { j: id, exp });
  const location = `/api/jobs/${id}`;
  return json({ job: relink(job, settings), viewer_token }, 201, { location });
}

/** The job that this request has made before, though its object and input may be gone by now. */
async function repeated(
  env: Env,
  { id, tenant }: NewJob,
  requestHash: string,
): Promise<ExportJob | null> {
  const known = await knownJob(env.DB, id);
  if (known && known.requestHash !== requestHash) throw new Refusal('idempotency_conflict');
  if (!known || known.rev === 0) return null;
  return (await objectOf(env, id).view(tenant)) ?? archivedJob(env.DB, id, tenant);
}

async function create(
  env: Env,
  settings: Settings,
  { retryOf, ...job }: NewJob & { requestHash: string },
  body: CreateRequest,
): Promise<ExportJob> {
  const request = { ...(await requestOf(env, job.tenant, body)), retryOf };
  const view = firstView({ ...job, request }, settings.POLICY);
  await insertIntent(env.DB, { ...job, request, view }, settings.POLICY.job_ms);
  const answer = await objectOf(env, job.id).create(job.tenant, request, job.requestHash);
  if (!answer.ok) throw new Refusal(answer.code, answer.extra);
  return answer.body.job;
}

/** `GET /api/jobs/:id`: from the object, or from D1 once the object has been forgotten. */
export async function showJob(c: Ctx): Promise<Response> {
  const polled = await pollJob(c);
  if (polled) return polled;
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  const tenant = viewerOf(c.req.raw, settings, id);
  const job = (await objectOf(c.env, id).view(tenant)) ?? (await archivedJob(c.env.DB, id, tenant));
  if (!job) throw new Refusal('job_not_found');
  const etag = etagOf(job);
  // The link of a finished file expires, so that answer is always given anew.
  const isKnown = c.req.header('if-none-match') === etag && job.status !== 'complete';
  if (isKnown) return new Response(null, { status: 304, headers: { etag } });
  return json({ job: relink(job, settings) }, 200, { etag });
}

/** The number of what is told; while it is processed also when, for reports may share a number. */
function etagOf({ seq, status, updated_at }: ExportJob): string {
  return status === 'processing' ? `W/"${seq}.${updated_at}"` : `"${seq}"`;
}

/** `GET /api/jobs?status=&tag=&limit=&cursor=`: newest first. */
export async function listJobs(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const tenant = ownerOf(c.req.raw, settings);
  const query = parseOr('invalid_query', ListQuery, c.req.query());
  if (query.status !== undefined && query.tag !== undefined) {
    throw new Refusal('invalid_query', { detail: '/tag: cannot be combined with status' });
  }
  const { data, next_cursor } = await listPage(c.env.DB, tenant, query);
  return json({ data: data.map((job) => relink(job, settings)), next_cursor });
}

/** `POST /api/jobs/:id/cancel`: ends the job at once; the renderer learns of it by itself. */
export async function cancelJob(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  const tenant = ownerOf(c.req.raw, settings);
  const answer = await objectOf(c.env, id).cancel(tenant);
  if (answer.ok) return json(answer.body);
  // Forgotten objects have ended, and how they ended is in D1.
  const archived = answer.code === 'job_not_found' && (await archivedJob(c.env.DB, id, tenant));
  if (!archived) throw new Refusal(answer.code, answer.extra);
  if (archived.status !== 'cancelled') throw new Refusal('cancel_conflict');
  return json({ job: archived });
}

/** `POST /api/jobs/:id/retry`: a new job like one that failed or was cancelled; repeats find it. */
export async function retryJob(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const failed = checkJobId(settings, c.req.param('id') ?? '');
  const tenant = ownerOf(c.req.raw, settings);
  const job =
    (await objectOf(c.env, failed).view(tenant)) ?? (await archivedJob(c.env.DB, failed, tenant));
  if (!job) throw new Refusal('job_not_found');
  const { upload_id, options, tags, max_dollars } = job;
  const again = (job.status === 'error' || job.status === 'cancelled') && upload_id && options;
  if (!again) throw new Refusal('retry_conflict');
  const id = jobId(settings.ID_KEY, await derivedId(`retry ${failed}`));
  const limit = max_dollars === null ? {} : { max_dollars };
  const body = { input: { upload_id }, options, ...(tags.length > 0 && { tags }), ...limit };
  return answerCreate(c, { id, tenant, retryOf: failed }, body);
}

/** `GET /api/jobs/:id/events`: every change of state as NDJSON, also after the object is gone. */
export async function listEvents(c: Ctx): Promise<Response> {
  const settings = settingsOf(c.env);
  const id = checkJobId(settings, c.req.param('id') ?? '');
  const tenant = ownerOf(c.req.raw, settings);
  const headers = { 'content-type': 'application/x-ndjson', 'cache-control': 'no-store' };
  const log = await objectOf(c.env, id).log(tenant);
  if (log !== null) return new Response(log, { headers });
  const archived = await archivedEvents(c.env.DB, id, tenant);
  if (archived === null) throw new Refusal('job_not_found');
  return new Response(ndjson(archived), { headers });
}

/** Equal keys of one tenant give equal ids, so that a repeated create meets the first one's object. */
async function bareId(tenant: string, key: string | undefined): Promise<string> {
  if (key === undefined) return randomId();
  return derivedId(`${tenant} ${parseOr('invalid_query', IdempotencyKey, key)}`);
}

async function requestOf(env: Env, tenant: string, body: CreateRequest) {
  const key = inputKey(tenant, body.input.upload_id);
  const [object, speeds] = await Promise.all([
    reach(env.VIDEOS.head(key)),
    knownSpeeds(env.DB, body.options, Date.now()),
  ]);
  if (!object) throw new Refusal('input_not_found');
  const filename = object.customMetadata?.['filename'] ?? 'video';
  const input = { key, etag: object.etag, size: object.size, filename };
  return {
    input,
    options: body.options,
    tags: body.tags ?? [],
    maxDollars: body.max_dollars ?? null,
    ...(speeds.length > 0 && { speeds }),
  };
}
