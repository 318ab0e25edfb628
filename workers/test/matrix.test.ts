import { env } from 'cloudflare:workers';
import { CreateReply } from '@export-jobs/protocol';
import type { OwnerRight, ViewerRight } from '@export-jobs/protocol';
import * as v from 'valibot';
import { randomId } from '../src/lib/ids.ts';
import { beforeEach, describe, expect, it } from 'vitest';
import type { Access } from '../src/routes/entrances.ts';
import { ROUTES } from '../src/routes/app.ts';
import { FakeRenderer, playProvider, stubOf, ticketOf } from './harness.ts';
import {
  API_KEY,
  ask,
  askWith,
  foreignKey,
  jwt,
  newKey,
  signed,
  tampered,
  uploadOf,
} from './production.ts';

// Every route of the server, asked by every kind of caller. A route that is not described here fails.

playProvider();

const JSON_TYPE = { 'content-type': 'application/json' };
const SOCKET = { upgrade: 'websocket' };
const HOUR = 60 * 60_000;

/** What a caller of a route needs of the world: a job of tenant `acme` that a renderer has claimed. */
interface World {
  id: string;
  upload_id: string;
}

interface Asked {
  path: string;
  init?: RequestInit;
  /** The answer from 400 on that means that the caller was let in, and something else was amiss. */
  amiss?: number;
  /** What a renderer of another attempt is told, if that is not that its own is over. */
  late?: Verdict;
  /** The same for owners of another tenant alone. */
  amissIfForeign?: number;
}

const owner = (right: OwnerRight): Access => ({ by: 'owner', right });
const viewer = (right: ViewerRight): Access => ({ by: 'viewer', right });
const renderer = (byHand: boolean): Access => ({ by: 'renderer', byHand });

/** Who may enter each route. */
const MAY: Readonly<Record<string, Access>> = {
  'GET /healthz': { by: 'anyone' },
  'GET /api/keys': owner('admin'),
  'POST /api/keys': owner('admin'),
  'DELETE /api/keys/:id': owner('admin'),
  'POST /api/uploads': owner('create'),
  'PUT /api/uploads/:id': { by: 'link' },
  'DELETE /api/uploads/:id': { by: 'uploader' },
  'POST /api/uploads/:id/parts': { by: 'uploader' },
  'POST /api/uploads/:id/complete': { by: 'uploader' },
  'PUT /api/parts/:number': { by: 'link' },
  'GET /api/feed': { by: 'feed' },
  'POST /api/feed/tokens': owner('read'),
  'GET /api/jobs': owner('read'),
  'POST /api/jobs': owner('create'),
  'GET /api/jobs/:id': viewer('watch'),
  'DELETE /api/jobs/:id': owner('delete'),
  'POST /api/jobs/:id/tokens': owner('read'),
  'POST /api/jobs/:id/cancel': viewer('cancel'),
  'POST /api/jobs/:id/retry': owner('create'),
  'GET /api/jobs/:id/events': owner('read'),
  'GET /api/jobs/:id/ws': viewer('watch'),
  'GET /api/jobs/:id/stream': viewer('watch'),
  'GET /api/jobs/:id/renderer': renderer(false),
  'GET /api/jobs/:id/source': renderer(false),
  'PUT /api/jobs/:id/output/:epoch': renderer(false),
  'POST /api/jobs/:id/output/:epoch': renderer(false),
  'POST /api/jobs/:id/output/:epoch/parts': renderer(false),
  'POST /api/jobs/:id/output/:epoch/complete': renderer(false),
  'GET /api/jobs/:id/do/status': owner('read'),
  'POST /api/jobs/:id/do/:name{(?:init|claim|progress|complete|error)}': renderer(true),
  'POST /api/hooks/runpod/:id': { by: 'link' },
  'GET /api/videos/download/:key': { by: 'link' },
};

/** How each route is called rightly. */
const CALLS: Readonly<Record<string, (world: World) => Asked>> = {
  'GET /healthz': () => ({ path: '/healthz' }),
  'GET /api/keys': () => ({ path: '/api/keys' }),
  'POST /api/keys': () => ({ path: '/api/keys', init: body({ name: 'n', rights: ['admin'] }) }),
  'DELETE /api/keys/:id': () => ({
    path: '/api/keys/none',
    init: { method: 'DELETE' },
    amiss: 404,
  }),
  'POST /api/uploads': () => ({
    path: '/api/uploads',
    init: body({ filename: 'a', size: 1 }),
  }),
  'PUT /api/uploads/:id': () => ({ path: link('upload'), init: put('a'), amiss: 409 }),
  'DELETE /api/uploads/:id': () => ({ path: '/api/uploads/upl_x', init: { method: 'DELETE' } }),
  'POST /api/uploads/:id/parts': () => ({
    path: '/api/uploads/upl_x/parts',
    init: body({ numbers: [1] }),
  }),
  'POST /api/uploads/:id/complete': () => ({
    path: '/api/uploads/upl_x/complete',
    init: body({ parts: [{ number: 1, etag: 'e' }], checksum: `${'0'.repeat(32)}-1` }),
    // No part of it was sent.
    amiss: 422,
  }),
  'PUT /api/parts/:number': () => ({
    path: link('part'),
    init: put('a', { 'content-md5': 'DMF1ucDxtqgxw5niaXcmYQ==' }),
    // The upload that it is of was never begun.
    amiss: 404,
  }),
  'GET /api/feed': () => ({ path: '/api/feed', init: { headers: SOCKET } }),
  'POST /api/feed/tokens': () => ({ path: '/api/feed/tokens', init: body({}) }),
  'GET /api/jobs': () => ({ path: '/api/jobs' }),
  'POST /api/jobs': ({ upload_id }) => ({
    path: '/api/jobs',
    init: body({ input: { upload_id } }),
    // Of another tenant the upload is not there.
    amissIfForeign: 422,
  }),
  'GET /api/jobs/:id': ({ id }) => ({ path: `/api/jobs/${id}` }),
  'DELETE /api/jobs/:id': ({ id }) => ({
    path: `/api/jobs/${id}`,
    init: { method: 'DELETE' },
    // It has not ended.
    amiss: 409,
  }),
  'POST /api/jobs/:id/tokens': ({ id }) => ({ path: `/api/jobs/${id}/tokens`, init: body({}) }),
  'POST /api/jobs/:id/cancel': ({ id }) => ({ path: `/api/jobs/${id}/cancel`, init: body({}) }),
  'POST /api/jobs/:id/retry': ({ id }) => ({
    path: `/api/jobs/${id}/retry`,
    init: body({}),
    amiss: 409,
  }),
  'GET /api/jobs/:id/events': ({ id }) => ({ path: `/api/jobs/${id}/events` }),
  'GET /api/jobs/:id/ws': ({ id }) => ({ path: `/api/jobs/${id}/ws`, init: { headers: SOCKET } }),
  'GET /api/jobs/:id/stream': ({ id }) => ({ path: `/api/jobs/${id}/stream` }),
  'GET /api/jobs/:id/renderer': ({ id }) => ({
    path: `/api/jobs/${id}/renderer?epoch=1`,
    init: { headers: SOCKET },
  }),
  'GET /api/jobs/:id/source': ({ id }) => ({ path: `/api/jobs/${id}/source` }),
  'PUT /api/jobs/:id/output/:epoch': ({ id }) => ({
    path: `/api/jobs/${id}/output/1`,
    init: put('a', { 'x-export-manifest': JSON.stringify(MANIFEST) }),
    // Somebody was here before.
    amiss: 412,
  }),
  'POST /api/jobs/:id/output/:epoch': ({ id }) => ({
    path: `/api/jobs/${id}/output/1`,
    init: body({ manifest: { ...MANIFEST, size: 20_000_000 }, checksum: `${'0'.repeat(32)}-2` }),
  }),
  'POST /api/jobs/:id/output/:epoch/parts': ({ id }) => ({
    path: `/api/jobs/${id}/output/1/parts`,
    init: body({ upload: outputOf(id), numbers: [1] }),
    late: 404,
  }),
  'POST /api/jobs/:id/output/:epoch/complete': ({ id }) => ({
    path: `/api/jobs/${id}/output/1/complete`,
    init: body({ upload: outputOf(id), parts: [{ number: 1, etag: 'e' }] }),
    amiss: 422,
    late: 404,
  }),
  'GET /api/jobs/:id/do/status': ({ id }) => ({ path: `/api/jobs/${id}/do/status` }),
  'POST /api/jobs/:id/do/:name{(?:init|claim|progress|complete|error)}': ({ id }) => ({
    path: `/api/jobs/${id}/do/progress`,
    init: body({ progress: 1, epoch: 1, seq: 1 }),
  }),
  'POST /api/hooks/runpod/:id': ({ id }) => ({
    path: `/api/hooks/runpod/${id}?token=${link('webhook')}`,
    init: body({}),
  }),
  'GET /api/videos/download/:key': () => ({ path: link('download') }),
};

/** An output by parts that the renderer of the first attempt has begun. */
function outputOf(id: string): string {
  const of = { j: id, a: 1, e: 1, k: 'in/acme/upl_x', m: multipart, s: 1 };
  return signed('output', { ...of, c: `${'0'.repeat(32)}-1`, exp: Date.now() + HOUR });
}

function body(value: object): RequestInit {
  return { method: 'POST', headers: JSON_TYPE, body: JSON.stringify(value) };
}
function put(bytes: string, headers: Record<string, string> = {}): RequestInit {
  const length = { 'content-length': `${bytes.length}` };
  return { method: 'PUT', headers: { ...length, ...headers }, body: bytes };
}
/** Of the one letter that is stored. */
const MANIFEST = {
  size: 1,
  sha256: 'ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb',
  width: 64,
  height: 36,
  duration_ms: 1000,
  frames: 24,
};

let world: World;
/** By name: a bearer's token, or null for none. */
let callers: Record<string, string | null>;
/** Addresses that prove themselves, or their proof, by what may be wrong with it. */
let links: Record<'upload' | 'part' | 'webhook' | 'download', Record<string, string>>;
let proof = 'right';
/** R2's name of an upload by parts that was begun. */
let multipart = '';
const link = (of: keyof typeof links): string => links[of][proof] ?? '';
const KEY = 'out/acme/film.mp4';

beforeEach(async () => {
  await env.VIDEOS.put(KEY, 'film');
  multipart = (await env.VIDEOS.createMultipartUpload('in/acme/upl_x')).uploadId;
  await begin();
});

async function begin(): Promise<void> {
  // There may be a hundred of one tenant.
  await env.DB.prepare('DELETE FROM export_api_keys').run();
  world = await newWorld();
  callers = await allCallers(world);
  links = allLinks(world);
}

async function newWorld(): Promise<World> {
  const { secret } = await newKey({ tenant: 'acme' });
  const upload_id = await uploadOf(secret);
  const made = await askWith(secret, 'POST', '/api/jobs', { input: { upload_id } });
  const { job } = v.parse(CreateReply, await made.json());
  await new FakeRenderer(await ticketOf(job.id)).claim();
  return { id: job.id, upload_id };
}

function allLinks({ id }: World): typeof links {
  const [right, expired] = [Date.now() + HOUR, Date.now() - 1];
  const u = `upl_${randomId()}`;
  const upload = (exp: number) => signed('upload', { u, t: 'acme', n: 'n', s: 1, exp });
  const download = (k: string, exp: number) => signed('download', { k, exp });
  const webhook = (j: string, exp: number) => signed('webhook', { j, a: 1, exp });
  const to = (token: string) => `/api/uploads/${u}?token=${token}`;
  const file = (token: string) => `/api/videos/download/${encodeURIComponent(KEY)}?token=${token}`;
  const part = (n: number, exp: number) =>
    signed('part', { k: 'in/acme/none', m: 'none', n, s: 1, exp });
  const at = (token: string) => `/api/parts/1?token=${token}`;
  return {
    part: {
      right: at(part(1, right)),
      expired: at(part(1, expired)),
      changed: at(tampered(part(1, right))),
      'of another purpose': at(download(KEY, right)),
      'of another thing': at(part(2, right)),
      missing: '/api/parts/1',
    },
    upload: {
      right: to(upload(right)),
      expired: to(upload(expired)),
      changed: to(tampered(upload(right))),
      'of another purpose': to(download(KEY, right)),
      'of another thing': `/api/uploads/upl_other?token=${upload(right)}`,
      missing: `/api/uploads/${u}`,
    },
    webhook: {
      right: webhook(id, right),
      expired: webhook(id, expired),
      changed: tampered(webhook(id, right)),
      'of another purpose': download(KEY, right),
      'of another thing': webhook('job_other', right),
      missing: '',
    },
    download: {
      right: file(download(KEY, right)),
      expired: file(download(KEY, expired)),
      changed: file(tampered(download(KEY, right))),
      'of another purpose': file(webhook(id, right)),
      'of another thing': file(download('out/acme/other.mp4', right)),
      missing: `/api/videos/download/${encodeURIComponent(KEY)}`,
    },
  };
}

async function allCallers({ id }: World): Promise<Record<string, string | null>> {
  const attempt = 1;
  const now = Date.now();
  const key = async (more: object) => (await newKey({ tenant: 'acme', ...more })).secret;
  const revoked = await newKey({ tenant: 'acme' });
  await ask(`/api/keys/${revoked.key.id}`, { method: 'DELETE' }, API_KEY);
  const view = (more: object) =>
    signed('view', { j: id, r: ['watch', 'download'], exp: now + HOUR, ...more });
  const attempts = (more: object) =>
    signed('attempt', { j: id, t: 'acme', a: attempt, exp: now + HOUR, ...more });
  return {
    nobody: null,
    nonsense: 'nonsense',
    'operator of another tenant': API_KEY,
    'key with all rights': await key({ rights: [...ALL, 'admin'] }),
    'key without admin': await key({}),
    'key to read': await key({ rights: ['read'] }),
    'key to create': await key({ rights: ['create'] }),
    'key of another tenant': await key({ tenant: 'rival' }),
    'key that expired': await key({ expires_at: now - 1 }),
    'key that was revoked': revoked.secret,
    'key that was changed': tampered(await key({})),
    jwt: await jwt({ tenant: 'acme' }),
    'jwt of another tenant': await jwt({ tenant: 'rival' }),
    'jwt that expired': await jwt({ tenant: 'acme' }, { expires: '-1h' }),
    'jwt that others signed': await jwt({ tenant: 'acme' }, { by: foreignKey }),
    viewer: view({}),
    'viewer who may cancel': view({ r: ['watch', 'cancel'] }),
    'viewer who may only cancel': view({ r: ['cancel'] }),
    'viewer of another job': view({ j: 'job_other' }),
    'viewer that expired': view({ exp: now - 1 }),
    'viewer that was changed': tampered(view({})),
    feed: signed('feed', { t: 'acme', exp: now + HOUR }),
    'feed of another tenant': signed('feed', { t: 'rival', exp: now + HOUR }),
    'feed that expired': signed('feed', { t: 'acme', exp: now - 1 }),
    renderer: attempts({}),
    'renderer of a later attempt': attempts({ a: 2 }),
    'renderer of another job': attempts({ j: 'job_other' }),
    'renderer that expired': attempts({ exp: now - 1 }),
    'renderer that was changed': tampered(attempts({})),
    upload: signed('upload', {
      u: 'upl_x',
      t: 'acme',
      n: 'n',
      s: 1,
      m: multipart,
      exp: now + HOUR,
    }),
    'upload of another file': signed('upload', {
      u: 'upl_y',
      t: 'acme',
      n: 'n',
      s: 1,
      m: multipart,
      exp: now + HOUR,
    }),
    'upload that expired': signed('upload', {
      u: 'upl_x',
      t: 'acme',
      n: 'n',
      s: 1,
      m: multipart,
      exp: now - 1,
    }),
    download: signed('download', { k: 'out/x', exp: now + HOUR }),
    webhook: signed('webhook', { j: id, a: 1, exp: now + HOUR }),
  };
}

/** What an owner may do who manages no keys. */
const ALL = ['create', 'read', 'cancel', 'delete'] as const;

/** Who is an owner of the job's tenant, with which rights. */
const OWNERS: Record<string, readonly string[]> = {
  'key with all rights': [...ALL, 'admin'],
  'key without admin': ALL,
  'key to read': ['read'],
  'key to create': ['create'],
  jwt: ALL,
};
/** Who is an owner of another tenant. */
const FOREIGN: Record<string, readonly string[]> = {
  'operator of another tenant': [...ALL, 'admin'],
  'key of another tenant': ALL,
  'jwt of another tenant': ALL,
};
const VIEWERS: Record<string, readonly string[]> = {
  viewer: ['watch', 'download'],
  'viewer who may cancel': ['watch', 'cancel'],
  'viewer who may only cancel': ['cancel'],
};
const COVERED_BY = { watch: 'read', download: 'read', cancel: 'cancel' } as const;
const FEEDS = ['feed', 'feed of another tenant'];
const RENDERERS: Record<string, Verdict> = {
  renderer: 'let in',
  'renderer of a later attempt': 409,
};

type Verdict = 'let in' | 401 | 403 | 404 | 409;

/** What a caller of a route is to be told, by who may enter it. */
function expected(access: Access, caller: string, namesJob: boolean): Verdict {
  switch (access.by) {
    case 'anyone':
    case 'link':
      return 'let in';
    case 'owner':
      return byRights(caller, access.right, namesJob);
    case 'viewer':
      return byToken(caller, access.right) ?? byRights(caller, COVERED_BY[access.right], namesJob);
    case 'uploader':
      return caller === 'upload' ? 'let in' : 401;
    case 'feed':
      return FEEDS.includes(caller) ? 'let in' : byRights(caller, 'read', false);
    case 'renderer':
      return RENDERERS[caller] ?? 401;
  }
}

function byToken(caller: string, right: string): Verdict | null {
  const rights = VIEWERS[caller];
  if (!rights) return null;
  return rights.includes(right) ? 'let in' : 403;
}

function byRights(caller: string, right: string, namesJob: boolean): Verdict {
  const own = OWNERS[caller];
  if (own) return own.includes(right) ? 'let in' : 403;
  const foreign = FOREIGN[caller];
  if (!foreign) return 401;
  if (!foreign.includes(right)) return 403;
  return namesJob ? 404 : 'let in';
}

const routes = Object.entries(ROUTES).flatMap(([path, methods]) =>
  Object.entries(methods).map(([method, { access }]) => ({
    name: `${method} ${path}`,
    access,
    namesJob: path.startsWith('/api/jobs/:id'),
  })),
);

describe.each(routes)('$name', ({ name, access, namesJob }) => {
  it('answers each kind of caller as it declares, and changes nothing for those it refuses', async () => {
    const [may, build] = [MAY[name], CALLS[name]];
    if (!may || !build) throw new Error(`${name} is not in the matrix: say who may, and how`);
    expect(access).toEqual(may);
    const wrong: string[] = [];
    for (const caller of Object.keys(callers)) {
      const call = callBy(caller, build(world));
      const wanted = call.wanted ?? expected(may, caller, namesJob);
      const before = await lookAt(world.id);
      const answer = await asked(call, callers[caller] ?? null);
      if (answer !== wanted) wrong.push(`${caller}: ${answer} instead of ${wanted}`);
      const isChanged = (await lookAt(world.id)) !== before;
      if (isChanged && wanted !== 'let in') wrong.push(`${caller} changed the job`);
      // One that may cancel has done so: the others get a job of their own.
      if (isChanged) await begin();
    }
    expect(wrong).toEqual([]);
  });
});

const byLink = routes.filter(({ access }) => access.by === 'link');
const kinds = ['expired', 'changed', 'of another purpose', 'of another thing', 'missing'];

describe.each(byLink)('$name', ({ name }) => {
  it.each(kinds)('refuses an address whose proof is %s, whoever brings it', async (kind) => {
    proof = kind;
    const call = CALLS[name]?.(world) ?? { path: '' };
    proof = 'right';
    for (const caller of ['nobody', 'key with all rights', 'operator of another tenant']) {
      expect([401, 403, 404]).toContain(await asked(call, callers[caller] ?? null));
    }
  });
});

/** The call as this caller makes it, and what it is told if that does not follow from who it is. */
function callBy(
  caller: string,
  { amissIfForeign, late, ...call }: Asked,
): Asked & { wanted?: Verdict } {
  const isForeign = caller in FOREIGN && amissIfForeign !== undefined;
  const isLate = caller === 'renderer of a later attempt' && late !== undefined;
  return { ...call, ...(isForeign && { amiss: amissIfForeign }), ...(isLate && { wanted: late }) };
}

async function asked({ path, init = {}, amiss }: Asked, token: string | null) {
  const { status, webSocket, body: answer } = await ask(path, init, token);
  webSocket?.accept();
  webSocket?.close();
  await answer?.cancel();
  return status < 400 || status === amiss ? 'let in' : status;
}

/** What must not change by a call that is refused. */
async function lookAt(id: string): Promise<string> {
  const job = await stubOf(id).view(null);
  return JSON.stringify([job?.status, job?.attempt, job?.seq, job?.progress, job?.updated_at]);
}
