// Responsible for callers who may not: each call is right, but for who makes it.
import type { ProblemCode } from '@export-jobs/protocol';
import { withField } from './bodies.ts';
import { damaged } from './catalogue.ts';
import { pathOf, pickCall, type Call, type Generator, type Scene } from './calls.ts';
import { refusal } from './input.ts';
import { PARTS_CHECKSUM } from './parts.ts';
import { payloadOf, type Purpose } from './forge.ts';
import { draftOf, requestInput, short, withHeaders, type Draft } from './request.ts';
import { LANES, outputKey, type Job } from './world.ts';

const REFUSED: ProblemCode[] = ['unauthorized'];

/** An API key or JWT of nobody's: development looks at those too. */
function falseKeys({ world, random }: Scene): Record<string, string> {
  const { forge, keys, acme } = world;
  const [key = ''] = acme.keys;
  return {
    'a revoked key': keys.revoked,
    'an expired key': keys.expired,
    // The start is what says that it is a key.
    'a damaged key': `ejk_${damaged(key.slice(4), random)}`,
    'two keys in one': `${key}${key}`,
    'a key of nobody': `ejk_${'0'.repeat(12)}_${'0'.repeat(60)}`,
    'the start of a key': 'ejk_',
    'a JWT without a signature': forge.jwt({ tenant: 'acme' }, 'nobody'),
    'a JWT of somebody else': forge.jwt({ tenant: 'acme' }, 'foreign'),
    'an expired JWT': forge.jwt({ tenant: 'acme', exp: 1 }),
    'a JWT of no tenant': forge.jwt({ tenant: random.pick(['', '../acme', null, 7, { a: 1 }]) }),
    'a JWT of another issuer': forge.jwt({ tenant: 'acme', iss: 'https://evil.example/' }),
    'a JWT for another audience': forge.jwt({ tenant: 'acme', aud: ['other'] }),
    'a JWT that never expires': forge.jwt({ tenant: 'acme', exp: undefined }),
    'a JWT of no shape': `${'e30.'.repeat(2)}e30`,
  };
}

/** Tokens of every purpose for a job, all as the server would sign them. `more` is said in each of them. */
function tokensFor({ world }: Scene, job: Job, more: object = {}) {
  const { id, tenant, attempt, epoch, uploadId } = job;
  const payloads: Record<Purpose, Record<string, unknown>> = {
    attempt: { j: id, t: tenant, a: attempt },
    webhook: { j: id, a: attempt },
    view: { j: id, r: ['watch', 'download', 'cancel'] },
    feed: { t: tenant },
    download: { k: `in/${tenant}/${uploadId}` },
    upload: { u: uploadId, t: tenant, n: 'n', s: 5 },
    output: { j: id, a: attempt, e: epoch, k: outputKey(job), m: 'm', s: 5, c: PARTS_CHECKSUM },
    part: { k: `in/${tenant}/${uploadId}`, m: 'm', n: 2, s: 5 },
  };
  const sign = (purpose: Purpose, change: object = {}, kid?: string) =>
    world.forge.token(purpose, { ...payloads[purpose], ...more, ...change }, kid);
  return { payloads, sign };
}

/** Tokens of ours that are no right ones for this purpose. */
function falseTokens(
  scene: Scene,
  purpose: Purpose,
  job: Job,
  more: object = {},
): Record<string, string> {
  const { random, world } = scene;
  const { payloads, sign } = tokensFor(scene, job, more);
  const others = Object.keys(payloads).filter((one): one is Purpose => one !== purpose);
  const other = random.pick(others);
  const foreign = tokensFor(scene, world.rival.complete);
  // Whoever watches a feed may watch that of any tenant that the token names.
  const elsewhere = purpose === 'feed' ? {} : { 'of another job': foreign.sign(purpose) };
  return {
    ...elsewhere,
    [`for ${other}`]: sign(other),
    expired: sign(purpose, { exp: Date.now() - 1000 }),
    'that expired long ago': sign(purpose, { exp: random.pick([0, -1, 1]) }),
    'that expires at no time': sign(purpose, {
      exp: random.pick([null, 'never', 1.5e-9, []]),
    }),
    damaged: damaged(sign(purpose), random),
    'of an unknown key': sign(purpose, {}, random.pick(['k9', '../k1', '__proto__', 'K1', ''])),
    'with more behind': `${sign(purpose)}.${random.pick(['', 'x', 'e30'])}`,
    'with nothing in it': sign(
      purpose,
      Object.fromEntries(Object.keys(payloads[purpose]).map((k) => [k, null])),
    ),
    'of 10 KB': `${sign(purpose)}${'A'.repeat(10_000)}`,
  };
}

/** What purpose a token must have that opens a route. */
const PURPOSE = {
  owner: 'view',
  viewer: 'view',
  feed: 'feed',
  renderer: 'attempt',
  uploader: 'upload',
  link: 'download',
  anyone: 'view',
} as const;

/** Bearer tokens with which nobody may enter. */
function falseBearers(scene: Scene, { access: { by }, bearer }: Call): Record<string, string> {
  const { world } = scene;
  const job = world.acme.running[scene.lane] ?? world.acme.pending;
  const named = by === 'uploader' ? payloadOf(bearer ?? '') : {};
  const tokens = falseTokens(scene, PURPOSE[by], job, named);
  const others = by === 'owner' ? { 'a viewer’s': tokensFor(scene, job).sign('view') } : {};
  if (by === 'renderer' || by === 'uploader')
    return { ...tokens, 'an owner’s': world.acme.keys[0] ?? '', nonsense: 'x' };
  const keys = falseKeys(scene);
  // Without credentials development takes anybody for its owner; only what looks like a key is looked at.
  return world.mode === 'production' ? { ...tokens, ...others, ...keys } : keys;
}

/** Headers in which even a right token is none; in production, where one is asked for. */
function brokenHeaders(token: string): Record<string, [string, string][]> {
  const one = (value: string): [string, string][] => [['authorization', value]];
  return {
    none: [],
    empty: one(''),
    'scheme alone': one('Bearer'),
    'another scheme': one(`Basic ${token}`),
    'no scheme': one(token),
    'two spaces': one(`Bearer  ${token}`),
    'more behind': one(`Bearer ${token} x`),
    'in quotes': one(`Bearer "${token}"`),
    'a comma': one(`Bearer ${token},`),
    'header twice': [...one(`Bearer ${token}`), ...one(`Bearer ${token}`)],
    'not ASCII': one(`Bearer \u00ff${token}`),
    'as cookie': [['cookie', `authorization=Bearer ${token}`]],
    'as another header': [['x-api-key', token]],
    'as subprotocol of another name': [['sec-websocket-protocol', `bearer ${token}, export.v1`]],
  };
}

const isClosed = ({ access }: Call) => access.by !== 'anyone' && access.by !== 'link';

/** A caller without credentials that fit. */
export const falseCaller: Generator = (scene, routes) => {
  const { random, world } = scene;
  const call = pickCall(scene, routes, isClosed);
  const draft = draftOf(call, scene);
  if (world.mode === 'production' && random.chance(0.4)) {
    const [what, headers] = random.pick(Object.entries(brokenHeaders(call.bearer ?? '')));
    const bare = withHeaders(draft, { authorization: null });
    return requestInput(
      'credentials',
      what,
      { ...bare, headers: [...bare.headers, ...headers] },
      refusal(REFUSED),
    );
  }
  const [what, token] = random.pick(Object.entries(falseBearers(scene, call)));
  return requestInput('credentials', what, withHeaders(draft, bearer(token)), refusal(REFUSED));
};

const bearer = (token: string) => ({ authorization: `Bearer ${token}` });

/** Somebody with right credentials, of another tenant or without the right. */
export const wrongOwner: Generator = (scene, routes) => {
  const { random, world } = scene;
  const isOfOwner = ({ access: { by } }: Call) => by === 'owner' || by === 'viewer';
  if (random.chance(0.5)) {
    // In development any id can be made by hand, and `do/status` says that this one was not.
    const namesJob = ({ pattern }: Call) =>
      pattern.startsWith('/api/jobs/:id') &&
      (world.mode === 'production' || !pattern.endsWith('/do/status'));
    const call = pickCall(scene, routes, (one) => isOfOwner(one) && namesJob(one));
    const draft = withHeaders(draftOf(call, scene), bearer(random.pick(world.rival.keys)));
    return requestInput('wrong owner', 'another tenant', draft, refusal(['job_not_found']));
  }
  const needs =
    (right: string) =>
    ({ access }: Call) =>
      access.by === 'owner' && access.right === right;
  const [right, key] = random.pick([
    ['create', world.keys.read],
    ['admin', world.keys.read],
    ['read', world.keys.create],
    ['admin', world.keys.create],
  ] as const);
  const call = pickCall(scene, routes, needs(right));
  const draft = withHeaders(draftOf(call, scene), bearer(key));
  return requestInput(
    'wrong owner',
    `without the right to ${right}`,
    draft,
    refusal(['forbidden']),
  );
};

/** What the proof in an address must be for. */
const LINKS: Readonly<Record<string, Purpose>> = {
  '/api/uploads/:id': 'upload',
  '/api/parts/:number': 'part',
  '/api/hooks/runpod/:id': 'webhook',
  '/api/videos/download/:key': 'download',
};

/** An address that carries its own proof, with one that is none. */
export const falseLink: Generator = (scene, routes) => {
  const { random } = scene;
  const call = pickCall(scene, routes, ({ access }) => access.by === 'link');
  const purpose = LINKS[call.pattern];
  if (!purpose) throw new Error(`a link that is not in the fuzz: ${call.pattern}`);
  // But for what is wrong with it, the proof is of the very thing that the address names.
  const named = payloadOf(call.query['token'] ?? '');
  const proofs = falseTokens(scene, purpose, scene.world.acme.complete, named);
  const [what, token] = random.pick(Object.entries({ ...proofs, empty: '', nonsense: 'x' }));
  // In development outputs are served to whoever shows no token at all.
  const nothing = scene.world.mode === 'production' && random.chance(0.5) ? {} : { token: '' };
  const draft: Draft = {
    ...draftOf(call, scene),
    target: pathOf({ ...call, query: token === '' ? nothing : { token } }),
    ...(call.method === 'PUT' && { body: 'bytes' }),
  };
  return requestInput('link', short(what), draft, refusal(['unauthorized', 'link_expired']));
};

/** A renderer that may write, and names an output by parts that is not its own. */
export const falseUpload: Generator = (scene, routes) => {
  const { random, world, lane } = scene;
  const call = pickCall(scene, routes, ({ body }) => body !== null && 'upload' in body.fields);
  if (!call.body) throw new Error('no body');
  const job = world.acme.running[lane] ?? world.acme.pending;
  const right = payloadOf(job.output);
  const other = (change: object) => world.forge.token('output', { ...right, ...change });
  const tokens = {
    ...falseTokens(scene, 'output', job, right),
    'of another epoch': other({ e: random.pick([0, 2, 1.5]) }),
    'of another attempt': other({ a: random.pick([0, 2, -1]) }),
    'of a job that is none': other({ j: random.pick(['', null, `${job.id} `]) }),
    'of another of these jobs': world.acme.running[(lane + 1) % LANES]?.output ?? '',
    'an owner’s key': world.acme.keys[0] ?? '',
    nonsense: random.pick(['x', 'none', '../x', '\u0000', '💥', 'null']),
  };
  const [what, token] = random.pick(Object.entries(tokens));
  const body = withField(call.body, 'upload', JSON.stringify(token));
  // What is longer than a token can be has not the right shape.
  const codes: ProblemCode[] = [token.length > 2000 ? 'invalid_body' : 'upload_not_found'];
  return requestInput('output token', what, { ...draftOf(call, scene), body }, refusal(codes));
};
