// Responsible for headers that are bad in requests that are right; those of credentials have a file of their own.
import { createHash } from 'node:crypto';
import type { ProblemCode } from '@export-jobs/protocol';
import { pickCall, type Generator, type Scene } from './calls.ts';
import { refusal } from './input.ts';
import { draftOf, requestInput, short, withHeaders, type Draft } from './request.ts';

type Draw = (scene: Scene, of: (method: string, pattern: string) => Draft) => Drawn;
type Drawn = readonly [what: string, draft: Draft, codes: ProblemCode[]];

const BYTES = 'bytes';
const MANIFEST = {
  size: BYTES.length,
  sha256: createHash('sha256').update('other bytes').digest('hex'),
  width: 1,
  height: 1,
  duration_ms: 1,
  frames: 1,
};
/** The last but one is all right but for the checksum of the bytes. */
const WRONG_MANIFESTS = [
  '',
  '{}',
  'null',
  '[]',
  'x'.repeat(2000),
  '{"size":5}',
  '{"__proto__":{"size":5}}',
  '\u00ff',
  ...[
    { size: 6 },
    { sha256: 'x' },
    { width: -1 },
    { frames: null },
    {},
    { more: 'x'.repeat(1000) },
  ].map((more) => JSON.stringify({ ...MANIFEST, ...more })),
];
const WRONG_KEYS = ['', ' ', 'a b', 'x'.repeat(256), '\u00e9', 'a\tb', '\u007f', 'x'.repeat(5000)];
const WRONG_RANGES = [
  'bytes=999999999-',
  'bytes=-0',
  'bytes=9999-9999',
  `bytes=${'9'.repeat(30)}-`,
];
const MD5 = createHash('md5').update(BYTES);
const WRONG_MD5S = [
  '',
  'x',
  '\u00ff',
  MD5.copy().digest('hex'),
  MD5.copy().digest('base64url'),
  MD5.copy().update('more').digest('base64'),
  `${MD5.copy().digest('base64')}, x`,
  'A'.repeat(10_000),
];
const WRONG_ORIGINS = [
  'https://evil.example',
  'null',
  'x',
  'https://localhost.evil.example',
  'file://',
  '\u00ff',
  'https://evil.example:443, https://evil.example',
  'http://[::1',
  'javascript:alert(1)',
];
/** Whose addresses say how many bytes come. */
const ANNOUNCED = ['/api/uploads/:id', '/api/parts/:number'];
const SOCKETS = ['/api/feed', '/api/jobs/:id/ws', '/api/jobs/:id/renderer'];

const DRAWS: readonly Draw[] = [
  ({ random }, of) => {
    const key = random.pick(WRONG_KEYS);
    const draft = withHeaders(of('POST', '/api/jobs'), { 'idempotency-key': key });
    return [`idempotency-key ${short(key)}`, draft, ['invalid_query']];
  },
  ({ random }, of) => {
    const range = random.pick(WRONG_RANGES);
    return [
      `range ${range}`,
      withHeaders(file(random.chance(0.5), of), { range }),
      ['range_not_satisfiable'],
    ];
  },
  ({ random }, of) => {
    const draft = withHeaders(file(random.chance(0.5), of), { 'if-match': '"x"' });
    return ['if-match', draft, ['source_changed']];
  },
  ({ random }, of) => {
    const manifest = random.pick(WRONG_MANIFESTS);
    const draft = withHeaders(of('PUT', '/api/jobs/:id/output/:epoch'), {
      'x-export-manifest': manifest,
    });
    return [`manifest ${short(manifest)}`, { ...draft, body: BYTES }, ['upload_mismatch']];
  },
  ({ random }, of) => {
    const address = of('PUT', random.pick(ANNOUNCED));
    const draft = withHeaders(address, { 'transfer-encoding': 'chunked' });
    return ['no length', { ...draft, body: '5\r\nbytes\r\n0\r\n\r\n' }, ['length_required']];
  },
  ({ random }, of) => {
    const body = random.pick(['', 'byte', 'bytes!']);
    return ['another length', { ...of('PUT', random.pick(ANNOUNCED)), body }, ['upload_mismatch']];
  },
  ({ random }, of) => {
    const md5 = random.pick(WRONG_MD5S);
    const draft = withHeaders(of('PUT', '/api/parts/:number'), { 'content-md5': md5 });
    return [`content-md5 ${short(md5)}`, { ...draft, body: BYTES }, ['checksum_mismatch']];
  },
  ({ random }, of) => {
    const origin = random.pick(WRONG_ORIGINS);
    const draft = withHeaders(of('GET', random.pick(SOCKETS.slice(0, 2))), { origin });
    return [`origin ${origin}`, draft, ['origin_not_allowed']];
  },
  ({ random }, of) => {
    const upgrade = random.pick([null, 'h2c', 'x', 'websockets']);
    const draft = withHeaders(of('GET', random.pick(SOCKETS)), { upgrade });
    return [`upgrade ${upgrade}`, draft, ['upgrade_required']];
  },
];

/** The file of a job, or of its source. */
function file(isOutput: boolean, of: (method: string, pattern: string) => Draft): Draft {
  return of('GET', isOutput ? '/api/videos/download/:key' : '/api/jobs/:id/source');
}

export const wrongHeader: Generator = (scene, routes) => {
  const [what, draft, codes] = scene.random.pick(DRAWS)(scene, (method, pattern) => {
    const call = pickCall(scene, routes, (one) => one.method === method && one.pattern === pattern);
    return draftOf(call, scene);
  });
  return requestInput('header', what, draft, refusal(codes));
};
