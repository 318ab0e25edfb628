import { CreateRequest, ListQuery } from '@export-jobs/protocol';
import type { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { checkJobId, sooner, viewerRights } from '../access/callers.ts';
import type { Owner, Viewer } from '../access/callers.ts';
import { limitsOf } from '../access/plans.ts';
import { rememberedRefusal, withinQuota } from '../access/quota.ts';
import { parseOr, readBody } from '../lib/body.ts';
import type { ExportFeed } from '../durable-objects/ExportFeed.ts';
import { settingsOf } from '../lib/env.ts';
import type { Env } from '../lib/env.ts';
import { eraseJob } from '../lib/erase.ts';
import { derivedId, jobId, randomId } from '../lib/ids.ts';
import { archivedEvents } from '../lib/archive.ts';
import { insertIntent, knownJob } from '../lib/intents.ts';
import { archivedJob, listPage } from '../lib/job-views.ts';
import { liveJob } from '../lib/overdue.ts';
import { firstView } from '../lib/first-view.ts';
import { relink, shownTo } from '../lib/links.ts';
import { logError } from '../lib/log.ts';
import { feedObjectOf, objectOf } from '../lib/object.ts';
import { Refusal, json, ndjson } from '../lib/respond.ts';
import { knownSpeeds } from '../lib/speeds.ts';
import { signToken } from '../lib/tokens.ts';
import { makeIntended } from '../sweep.ts';
import type { Ctx } from './context.ts';
import { inputAgain, inputOf } from './inputs.ts';
import { pollJob } from './stream.ts';

const VIEWER_TOKEN_MS = 24 * 60 * 60_000;
const IdempotencyKey = v.pipe(v.string(), v.regex(/^[\x21-\x7e]{1,255}$/));

/** `POST /api/jobs`: first the row in D1, then the object, so that the sweeper knows of both. */
export async function createJob(c: Ctx, owner: Owner): Promise<Response> {
  const settings = settingsOf(c.env);
  const bare = await bareId(owner.tenant, c.req.header('idempotency-key'));
  const body = await readBody(c.req.raw, CreateRequest);
  return answerCreate(c, { id: jobId(settings.ID_KEY, bare), owner, retryOf: null }, body);
}

interface NewJob {
  id: string;
  owner: Owner;
  retryOf: string | null;
}

async function answerCreate(c: Ctx, made: NewJob, body: CreateRequest): Promise<Response> {
  const settings = settingsOf(c.env);
  const { id } = made;
  const requestHash = await derivedId(JSON.stringify(body));
  const known = await knownJob(c.env.DB, id);
  if (known && known.requestHash !== requestHash) throw new Refusal('idempotency_conflict');
  if (!known) rememberedRefusal(made.owner);
  // What was only intended until now is made, as if it were asked for the first time.
  const job =
    known && known.rev > 0
      ? await repeated(c.env, made)
      : await create(c, { ...made, requestHash }, body);
  const { until, rights } = made.owner;
  const exp = sooner(Date.now() + VIEWER_TOKEN_MS, until);
  const r = viewerRights(rights).filter((right) => right !== 'cancel');
  const viewer_token = signToken(settings.SIGNING_KEYS, 'view', { j: id, r, exp });
  const location = `/api/jobs/${id}`;
  return json({ job: shownTo({ rights: r }, job, settings), viewer_token }, 201, { location });
}

/** The job that this request has made before, though its object and input may be gone by now. */
async function repeated(env: Env, { id, owner, retryOf }: NewJob): Promise<ExportJob> {
  const { tenant } = owner;
  const job = (await objectOf(env, id).view(tenant)) ?? (await archivedJob(env.DB, id, tenant));
  if (job) return job;
  const code = retryOf === null ? 'idempotency_conflict' : 'retry_conflict';
  throw new Refusal(code, { detail: 'The job that it made was deleted.' });
}

async function create(
  c: Ctx,
  { retryOf, owner, ...made }: NewJob & { requestHash: string },
  body: CreateRequest,
): Promise<ExportJob> {
  const { env } = c;
  const settings = settingsOf(env);
  const { PLANS, POLICY } = settings;
  const job = { ...made, tenant: owner.tenant };
  const bounds = { ...limitsOf(PLANS, owner.plan), lifeMs: POLICY.job_ms };
  const [input, speeds] = await Promise.all([
    inputOf(env, settings, { tenant: job.tenant, limits: bounds }, body.input),
    knownSpeeds(env.DB, body.options, Date.now()),
  ]);
  const request = {
    input,
    options: body.options,
    retryOf,
    tags: body.tags ?? [],
    maxDollars: body.max_dollars ?? null,
    ...(speeds.length > 0 && { speeds }),
  };
  const view = firstView({ ...job, request }, POLICY);
  await withinQuota(owner, insertIntent(env.DB, { ...job, request, view }, bounds));
  const answer = await objectOf(env, job.id).create(job.tenant, request, job.requestHash);
  if (!answer.ok) throw new Refusal(answer.code, answer.extra);
  const { job: begun } = answer.body;
  c.executionCtx.waitUntil(tellFeed(env, job, (feed) => feed.publish(begun)));
  return begun;
}

type Feed = DurableObjectStub<ExportFeed>;

/** The feed hears of a job from its object, whenever D1 does; what D1 has been told here, it hears here. */
async function tellFeed(
  env: Env,
  { id, tenant }: { id: string; tenant: string },
  tell: (feed: Feed) => Promise<unknown>,
): Promise<void> {
  try {
    const feed = feedObjectOf(env, tenant);
    if (feed) await tell(feed);
  } catch (error) {
    logError('feed', { job: id, error: String(error) });
  }
}

/** `GET /api/jobs/:id`: from the object, or from D1 once the object has been forgotten. */
export async function showJob(c: Ctx, viewer: Viewer): Promise<Response> {
  const polled = await pollJob(c, viewer);
  if (polled) return polled;
  const { id, tenant } = viewer;
  const job = (await objectOf(c.env, id).view(tenant)) ?? (await archivedJob(c.env.DB, id, tenant));
  if (!job) throw new Refusal('job_not_found');
  const etag = etagOf(job);
  // The link of a finished file expires, so that answer is always given anew.
  const isKnown = c.req.header('if-none-match') === etag && job.status !== 'complete';
  if (isKnown) return new Response(null, { status: 304, headers: { etag } });
  return json({ job: shownTo(viewer, job, settingsOf(c.env)) }, 200, { etag });
}

/** The number of what is told; while it is processed also when, for reports may share a number. */
function etagOf({ seq, status, updated_at }: ExportJob): string {
  return status === 'processing' ? `W/"${seq}.${updated_at}"` : `"${seq}"`;
}

/** `GET /api/jobs?status=&tag=&limit=&cursor=`: newest first. */
export async function listJobs(c: Ctx, { tenant }: Owner): Promise<Response> {
  const settings = settingsOf(c.env);
  const query = parseOr('invalid_query', ListQuery, c.req.query());
  if (query.status !== undefined && query.tag !== undefined) {
    throw new Refusal('invalid_query', { detail: '/tag: cannot be combined with status' });
  }
  const { data, next_cursor } = await listPage(c.env.DB, tenant, query);
  return json({ data: data.map((job) => relink(job, settings)), next_cursor });
}

/** `POST /api/jobs/:id/cancel`: ends the job at once; the renderer learns of it by itself. */
export async function cancelJob(c: Ctx, { id, tenant }: Viewer): Promise<Response> {
  const cancel = () => objectOf(c.env, id).cancel(tenant);
  let answer = await cancel();
  if (!answer.ok && answer.code === 'job_not_found') {
    // Its creation may have been cut off just before its object was made.
    const intended = await liveJob(c.env.DB, id, tenant);
    if (intended) await makeIntended(c.env, intended);
    if (intended) answer = await cancel();
  }
  if (answer.ok) return json(answer.body);
  // Forgotten objects have ended, and how they ended is in D1.
  const archived = answer.code === 'job_not_found' && (await archivedJob(c.env.DB, id, tenant));
  if (!archived) throw new Refusal(answer.code, answer.extra);
  if (archived.status !== 'cancelled') throw new Refusal('cancel_conflict');
  return json({ job: archived });
}

/** `DELETE /api/jobs/:id`: forgets a job that has ended, with its files. A repeat finds it done. */
export async function deleteJob(c: Ctx, { tenant }: Owner): Promise<Response> {
  const id = checkJobId(settingsOf(c.env), c.req.param('id') ?? '');
  const answer = await objectOf(c.env, id).delete(tenant);
  if (!answer.ok) {
    if (answer.code !== 'job_not_found') throw new Refusal(answer.code, answer.extra);
    // Its object may be gone, or not be there yet.
    if (!(await eraseJob(c.env, { id, tenant }, { hasEnded: false }))) {
      const intended = await liveJob(c.env.DB, id, tenant);
      throw new Refusal(intended ? 'delete_conflict' : 'job_not_found');
    }
  }
  const tags = answer.ok ? answer.body.tags : null;
  c.executionCtx.waitUntil(tellFeed(c.env, { id, tenant }, (feed) => feed.forget(id, tags)));
  return new Response(null, { status: 204 });
}

/** `POST /api/jobs/:id/retry`: a new job like one that failed or was cancelled; repeats find it. */
export async function retryJob(c: Ctx, owner: Owner): Promise<Response> {
  const { tenant } = owner;
  const settings = settingsOf(c.env);
  const failed = checkJobId(settings, c.req.param('id') ?? '');
  const job =
    (await objectOf(c.env, failed).view(tenant)) ?? (await archivedJob(c.env.DB, failed, tenant));
  if (!job) throw new Refusal('job_not_found');
  if (job.status !== 'error' && job.status !== 'cancelled') throw new Refusal('retry_conflict');
  const { options, tags, max_dollars } = job;
  const input = await inputAgain(c.env, tenant, job);
  if (!input || !options)
    throw new Refusal('retry_conflict', { detail: 'Its input is not known.' });
  // No tenant begins with a slash, so that no idempotency key of anybody's leads to the same id.
  const id = jobId(settings.ID_KEY, await derivedId(`/retry ${failed}`));
  const limit = max_dollars === null ? {} : { max_dollars };
  const body = { input, options, ...(tags.length > 0 && { tags }), ...limit };
  return answerCreate(c, { id, owner, retryOf: failed }, body);
}

/** `GET /api/jobs/:id/events`: every change of state as NDJSON, also after the object is gone. */
export async function listEvents(c: Ctx, { tenant }: Owner): Promise<Response> {
  const id = checkJobId(settingsOf(c.env), c.req.param('id') ?? '');
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
