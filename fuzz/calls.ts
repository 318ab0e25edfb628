// Responsible for how each route is called rightly, and which fields, queries and words of such a call can be
// made wrong. The routes themselves are read from the server: one that is not described here is an error.
import { randomUUID } from 'node:crypto';
import { pathToFileURL } from 'node:url';
import * as v from 'valibot';
import { inRoot } from '../scripts/lib/paths.ts';
import type { Random } from '../faults/random.ts';
import { BODIES, type Body } from './bodies.ts';
import { NOT_A_NAME } from './catalogue.ts';
import { payloadOf } from './forge.ts';
import type { Input } from './input.ts';
import { BY_HAND, attemptToken, outputKey, type Job, type World } from './world.ts';

/** What one input is drawn from. */
export interface Scene {
  readonly world: World;
  readonly random: Random;
  /** Which of the running jobs is this input's own. */
  readonly lane: number;
  /** Where it says that it comes from: strangers are counted by address. */
  readonly address: string;
}

/** A right call. */
export interface Call {
  readonly method: string;
  /** The route, such as `/api/jobs/:id`, and what stands in it. */
  readonly pattern: string;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Readonly<Record<string, string>>;
  readonly bearer: string | null;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Body | null;
  /** Who may make it, by the server's own word. */
  readonly access: Access;
  /** By parameter of the query: what is wrong there. */
  readonly wrongQuery: Readonly<Record<string, readonly string[]>>;
}

const Access = v.object({
  by: v.picklist(['anyone', 'owner', 'viewer', 'feed', 'renderer', 'uploader', 'link']),
  right: v.optional(v.string()),
});
export type Access = v.InferOutput<typeof Access>;
const Routes = v.record(v.string(), v.record(v.string(), v.looseObject({ access: Access })));

export interface Route {
  readonly method: string;
  readonly pattern: string;
  readonly access: Access;
}

/** Every route of the server. @throws when one is not described here, or one described is gone. */
export async function routesOfServer(): Promise<Route[]> {
  const file = pathToFileURL(inRoot('workers', 'src', 'routes', 'app.ts')).href;
  const { ROUTES } = v.parse(v.looseObject({ ROUTES: Routes }), await import(file));
  const routes = Object.entries(ROUTES).flatMap(([pattern, methods]) =>
    Object.entries(methods).map(([method, { access }]) => ({ method, pattern, access })),
  );
  const names = routes.map(nameOf);
  const missing = names.filter((name) => !(name in CALLS));
  const gone = Object.keys(CALLS).filter((name) => !names.includes(name));
  if (missing.length > 0)
    throw new Error(`not in the fuzz, say how it is called: ${missing.join()}`);
  if (gone.length > 0) throw new Error(`in the fuzz, but no route any more: ${gone.join()}`);
  // One address that is several: it is drawn as often.
  return routes.flatMap((route) => (route.pattern === DO ? DO_NAMES.map(() => route) : [route]));
}

const nameOf = ({ method, pattern }: Route): string => `${method} ${pattern}`;

/** A right call of a route. */
function callOf(route: Route, scene: Scene): Call {
  const describe = CALLS[nameOf(route)];
  if (!describe) throw new Error(`no route: ${nameOf(route)}`);
  const plain = { params: {}, query: {}, bearer: null, headers: {}, body: null, wrongQuery: {} };
  return { ...route, ...plain, ...describe(scene) };
}

/** Draws one bad input. */
export type Generator = (scene: Scene, routes: readonly Route[]) => Input;

/** A right call of any route whose calls fit. */
export function pickCall(
  scene: Scene,
  routes: readonly Route[],
  fits: (call: Call) => boolean,
): Call {
  return scene.random.pick(routes.map((route) => callOf(route, scene)).filter(fits));
}

/** The path of a call, with other words in it if there are any. */
export function pathOf(
  { pattern, params, query }: Call,
  other: Record<string, string> = {},
): string {
  const path = pattern.replaceAll(
    /:(\w+)(\{[^}]*\})?/g,
    (_, name: string) => other[name] ?? params[name] ?? '',
  );
  const search = new URLSearchParams(query).toString();
  return search === '' ? path : `${path}?${search}`;
}

export const SOCKET_HEADERS = {
  connection: 'Upgrade',
  upgrade: 'websocket',
  'sec-websocket-version': '13',
  'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ==',
};

const DO = '/api/jobs/:id/do/:name{(?:init|claim|progress|complete|error)}';
/** By a renderer. */
const DO_NAMES = ['claim', 'progress', 'complete', 'error'] as const;

type Described = Partial<Omit<Call, 'method' | 'pattern' | 'access'>>;

const HOUR_MS = 60 * 60_000;
const NO_NUMBER = [
  '-1',
  '1.5',
  'abc',
  '',
  '1e3',
  '0x1',
  ' 1',
  '٣',
  'NaN',
  '__proto__',
  '9'.repeat(40),
];
const NO_TAG = NOT_A_NAME.filter((name) => name !== '..');
const NO_STATUS = ['', 'nonsense', 'PENDING', 'complete ', '__proto__', '\u0000', 'x'.repeat(5000)];
const WRONG_PAGE = {
  status: NO_STATUS,
  tag: NO_TAG,
  limit: ['0', '101', ...NO_NUMBER],
  cursor: [
    'x'.repeat(201),
    'nonsense',
    '..',
    '{}',
    '\u0000',
    '-1',
    "'; DROP TABLE export_jobs; --",
  ],
  evil: ['1'],
};
/** What tells of no number here, or of more than there can be. */
const WRONG_WATCH = { since: [...NO_NUMBER, '1'.repeat(16)], status: NO_STATUS, tag: NO_TAG };

const ownerOf = ({ world, random }: Scene): string => random.pick(world.acme.keys);
const running = ({ world, lane }: Scene): Job => at(world.acme.running, lane);
const renderer = (scene: Scene): string => attemptToken(scene.world.forge, running(scene));

function at<T>(list: readonly T[], index: number): T {
  const found = list[index % list.length];
  if (found === undefined) throw new Error('nothing there');
  return found;
}

const onJob = (scene: Scene, job = running(scene)): Described => ({
  params: { id: job.id },
  bearer: ownerOf(scene),
});
const byRenderer = (scene: Scene): Described => ({ ...onJob(scene), bearer: renderer(scene) });

function onOutput(scene: Scene): Described {
  const { id, epoch } = running(scene);
  return { ...byRenderer(scene), params: { id, epoch: `${epoch}` } };
}

function byUploader({ world }: Scene): Described {
  const { id, token } = world.acme.begun;
  return { params: { id }, bearer: token };
}

function initByHand(): Described {
  const { id } = BY_HAND;
  return { params: { id, name: 'init' }, body: BODIES.init(id) };
}

/** How each route is called. */
const CALLS: Readonly<Record<string, (scene: Scene) => Described>> = {
  'GET /healthz': () => ({}),
  'GET /api/keys': (scene) => ({
    bearer: ownerOf(scene),
    wrongQuery: { tenant: NOT_A_NAME, x: ['1'] },
  }),
  'POST /api/keys': (scene) => ({ bearer: ownerOf(scene), body: BODIES.key() }),
  'DELETE /api/keys/:id': (scene) => ({
    bearer: ownerOf(scene),
    params: { id: scene.world.keys.read.split('_')[1] ?? '' },
  }),
  'POST /api/uploads': (scene) => ({ bearer: ownerOf(scene), body: BODIES.upload() }),
  'PUT /api/uploads/:id': ({ world }) => {
    const u = `upl_${'0'.repeat(26)}`;
    const payload = { u, t: 'acme', n: 'a.mp4', s: 5 };
    return { params: { id: u }, query: { token: world.forge.token('upload', payload) } };
  },
  'DELETE /api/uploads/:id': byUploader,
  'POST /api/uploads/:id/parts': (scene) => ({ ...byUploader(scene), body: BODIES.parts() }),
  'POST /api/uploads/:id/complete': (scene) => ({
    ...byUploader(scene),
    body: BODIES.completeUpload(),
  }),
  'PUT /api/parts/:number': ({ world }) => {
    const { begun, name } = world.acme;
    const part = { k: `in/${name}/${begun.id}`, m: payloadOf(begun.token)['m'], n: 1, s: 5 };
    return { params: { number: '1' }, query: { token: world.forge.token('part', part) } };
  },
  'GET /api/feed': (scene) => ({
    bearer: ownerOf(scene),
    headers: SOCKET_HEADERS,
    wrongQuery: { ...WRONG_WATCH, x: ['1'] },
  }),
  'POST /api/feed/tokens': (scene) => ({ bearer: ownerOf(scene), body: BODIES.feedToken() }),
  'GET /api/jobs': (scene) => ({ bearer: ownerOf(scene), wrongQuery: WRONG_PAGE }),
  'POST /api/jobs': (scene) => ({
    bearer: ownerOf(scene),
    body: scene.random.chance(0.3)
      ? BODIES.createFromUrl()
      : BODIES.create(scene.world.acme.pending.uploadId),
  }),
  'GET /api/jobs/:id': (scene) => ({
    ...onJob(scene),
    query: { since: '0' },
    wrongQuery: { since: WRONG_WATCH.since, wait: ['61', '1000000', ...NO_NUMBER], x: ['1'] },
  }),
  'DELETE /api/jobs/:id': (scene) => onJob(scene),
  'POST /api/jobs/:id/tokens': (scene) => ({ ...onJob(scene), body: BODIES.token() }),
  'POST /api/jobs/:id/cancel': (scene) => onJob(scene),
  'POST /api/jobs/:id/retry': (scene) => onJob(scene, scene.world.acme.failed),
  'GET /api/jobs/:id/events': (scene) => onJob(scene),
  'GET /api/jobs/:id/ws': (scene) => ({ ...onJob(scene), headers: SOCKET_HEADERS }),
  'GET /api/jobs/:id/stream': (scene) => onJob(scene),
  'GET /api/jobs/:id/renderer': (scene) => ({
    ...byRenderer(scene),
    query: { epoch: `${running(scene).epoch}` },
    headers: SOCKET_HEADERS,
    wrongQuery: { epoch: ['0', '01', ...NO_NUMBER] },
  }),
  'GET /api/jobs/:id/source': (scene) => byRenderer(scene),
  'PUT /api/jobs/:id/output/:epoch': onOutput,
  'POST /api/jobs/:id/output/:epoch': (scene) => ({
    ...onOutput(scene),
    body: BODIES.beginOutput(),
  }),
  'POST /api/jobs/:id/output/:epoch/parts': (scene) => ({
    ...onOutput(scene),
    body: BODIES.outputParts(running(scene).output),
  }),
  'POST /api/jobs/:id/output/:epoch/complete': (scene) => ({
    ...onOutput(scene),
    body: BODIES.completeOutput(running(scene).output),
  }),
  'GET /api/jobs/:id/do/status': (scene) => onJob(scene),
  [`POST ${DO}`]: (scene) => {
    if (scene.world.mode === 'development' && scene.random.chance(0.2)) return initByHand();
    const job = running(scene);
    const name = scene.random.pick(DO_NAMES);
    const body = {
      claim: () => BODIES.claim(randomUUID()),
      progress: () => BODIES.progress(job.epoch),
      complete: () => BODIES.complete(job.epoch, outputKey(job)),
      error: () => BODIES.error(job.epoch),
    }[name]();
    return { ...byRenderer(scene), params: { id: job.id, name }, body };
  },
  'POST /api/hooks/runpod/:id': ({ world, lane }) => {
    const { id, attempt } = at(world.acme.running, lane);
    const token = world.forge.token('webhook', { j: id, a: attempt, exp: Date.now() + HOUR_MS });
    return { params: { id }, query: { token } };
  },
  'GET /api/videos/download/:key': ({ world }) => {
    const key = outputKey(world.acme.complete);
    const token = world.forge.token('download', { k: key });
    return { params: { key: encodeURIComponent(key) }, query: { token } };
  },
};
