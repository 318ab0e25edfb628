// Responsible for bytes that are no HTTP, or that stop half-way. Most of them the runtime refuses by itself.
import type { ProblemCode } from '@export-jobs/protocol';
import { pickCall, type Generator, type Scene } from './calls.ts';
import { refusal, type Expect, type Input, type Piece } from './input.ts';
import { bytesOf, draftOf, withHeaders, type Draft } from './request.ts';

/** The runtime refuses what is no HTTP with one of these, and no more than a line of text. */
const PLATFORM = [400, 408, 411, 413, 417, 426, 431, 500, 501, 505];
/** What the Worker says to a body that is not there, or not whole. */
const CUT: ProblemCode[] = ['invalid_json', 'invalid_body', 'body_too_large'];

const notHttp = refusal(CUT, { platform: PLATFORM });

/** A POST of JSON without its framing. */
function bare(draft: Draft, headers: Record<string, string>, body: string): Buffer {
  return bytesOf({ ...withHeaders(draft, headers), body });
}

type Raw = (
  scene: Scene,
  draft: Draft,
) => readonly [what: string, pieces: readonly Piece[], expect?: Expect];

/** Framing that says what is not so. */
const WRONG_LENGTHS = [
  '-1',
  'abc',
  '1e3',
  '0x10',
  '',
  ' ',
  '+5',
  '5.0',
  '5,6',
  '99999999999999999999',
  '٣',
];
const WRONG_CODINGS = [
  'gzip',
  'chunked, gzip',
  'identity',
  'x',
  'chunked, chunked',
  '\u000bchunked',
];
const WRONG_CHUNKS = [
  'zz\r\n{}\r\n0\r\n\r\n',
  '-1\r\n{}\r\n',
  'ffffffffffffffffff\r\n{}',
  '2{}\r\n',
  '\r\n\r\n',
];
/** Lines between the first one and the body. */
const WRONG_LINES = [
  'Bad Header: x',
  ': x',
  'no colon',
  'X : y',
  ' folded: x',
  'X: \u0000',
  `X: ${'a'.repeat(200_000)}`,
  `${'X: y\r\n'.repeat(20_000)}X: y`,
  'Host: other',
  'Host: a b',
  'Transfer-Encoding: chunked\r\nContent-Length: 3',
];
const WRONG_STARTS = [
  'GET',
  'GET /',
  'GET  HTTP/1.1',
  'GET / HTTP/1.1 x',
  '/ GET HTTP/1.1',
  'GET http://evil.example/api/jobs HTTP/1.1',
  'GET evil.example:443 HTTP/1.1',
  'GET ../../etc/passwd HTTP/1.1',
  'GET api/jobs HTTP/1.1',
  'OPTIONS * HTTP/1.1',
  'GET /api/jobs/\u0000 HTTP/1.1',
  'GET /api/jobs/a\tb HTTP/1.1',
  `GET /${'a'.repeat(300_000)} HTTP/1.1`,
  'CONNECT evil.example:443 HTTP/1.1',
  'PRI * HTTP/2.0\r\n\r\nSM',
  '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00fc\u0003\u0003',
  '\u0000'.repeat(100),
  'HTTP/1.1 200 OK',
  '{"jsonrpc":"2.0"}',
];

const RAWS: readonly Raw[] = [
  ({ random }, draft) => {
    const length = random.pick(WRONG_LENGTHS);
    // Where it is a number after all, it waits for so many bytes.
    const expect: Expect = length === '99999999999999999999' ? { by: 'nothing' } : notHttp;
    return [
      `length ${length}`,
      [bare(draft, { 'content-length': Buffer.from(length).toString('latin1') }, '{'), 'end'],
      expect,
    ];
  },
  ({ random }, draft) => {
    const coding = random.pick(WRONG_CODINGS);
    return [
      `coding ${coding}`,
      [bare(draft, { 'transfer-encoding': coding }, '{'), 'end'],
      notHttp,
    ];
  },
  ({ random }, draft) => {
    const chunks = random.pick(WRONG_CHUNKS);
    return [
      `chunks ${JSON.stringify(chunks)}`,
      [bare(draft, { 'transfer-encoding': 'chunked' }, chunks), 'end'],
      notHttp,
    ];
  },
  ({ random }, draft) => {
    const [one, other] = random.pick([
      ['2', '3'],
      ['0', '2'],
      ['2', '-2'],
    ] as const);
    const twice = { ...draft, headers: [...draft.headers, ['content-length', other] as const] };
    return [
      `lengths ${one} and ${other}`,
      [bare(twice, { 'Content-Length': one }, '{'), 'end'],
      notHttp,
    ];
  },
  // Whoever closes half-way may still listen, and is told that it was not all.
  (_, draft) => [
    'cut, half closed',
    [bare(draft, { 'content-length': '100' }, '{"a":'), 'end'],
    notHttp,
  ],
  (_, draft) => [
    'cut chunk, half closed',
    [bare(draft, { 'transfer-encoding': 'chunked' }, '9\r\n{"a"'), 'end'],
    notHttp,
  ],
  (_, draft) => [
    'cut, and left',
    [bare(draft, { 'content-length': '100' }, '{"a":')],
    { by: 'nothing' },
  ],
  (_, draft) => [
    'cut chunk, and left',
    [bare(draft, { 'transfer-encoding': 'chunked' }, '9\r\n{"a"')],
    { by: 'nothing' },
  ],
  (_, draft) => [
    'no body, and left',
    [bare(draft, { 'content-length': '9' }, ''), { pause: 30 }],
    { by: 'nothing' },
  ],
  ({ random }, draft) => {
    const bytes = bare(draft, { 'content-length': '12' }, '{"a": broken');
    const at = Array.from({ length: 8 }, () => random.integer(1, bytes.length - 1)).toSorted(
      (a, b) => a - b,
    );
    const parts = [0, ...at].map((from, n): Piece => bytes.subarray(from, at[n] ?? bytes.length));
    const slow = parts.flatMap((part) => [part, { pause: 20 }]);
    return ['in slow pieces', slow, refusal(['invalid_json'])];
  },
  ({ random }, draft) => {
    const line = random.pick(WRONG_LINES);
    const head = `POST ${draft.target} HTTP/1.1\r\n${line}\r\n\r\n`;
    return [
      `line ${JSON.stringify(line.slice(0, 40))}`,
      [Buffer.from(head, 'latin1'), 'end'],
      ANY_REFUSAL,
    ];
  },
  ({ random, world, address }) => {
    const start = random.pick(WRONG_STARTS);
    const head = `${start}\r\nHost: localhost:${world.port}\r\nCF-Connecting-IP: ${address}\r\n\r\n`;
    return [
      `start ${JSON.stringify(start.slice(0, 40))}`,
      [Buffer.from(head, 'latin1'), 'end'],
      ANY_REFUSAL,
    ];
  },
  (_, draft) => ['no host', [bytesOf(withHeaders(draft, { host: null })), 'end'], ANY_REFUSAL],
  ({ random }, draft) => {
    const head = bytesOf(draft);
    return ['head cut', [head.subarray(0, random.integer(1, 40))], { by: 'nothing' }];
  },
  ({ random }) => {
    const noise = Buffer.from(
      Array.from({ length: random.integer(1, 500) }, () => random.integer(0, 255)),
    );
    return ['noise', [noise, 'end'], ANY_REFUSAL];
  },
];

/**
 * These may also be requests that are refused for what they leave out, or, in development, for a host that is
 * not this machine.
 */
const ANY_REFUSAL = refusal(
  [
    ...CUT,
    ...(['unauthorized', 'unsupported_media_type', 'not_found', 'job_not_found'] as const),
    'not_configured',
  ],
  { platform: [...PLATFORM, 404] },
);

/** A file of which only some bytes come. */
const cutFile: Generator = (scene, routes): Input => {
  const { random } = scene;
  const call = pickCall(scene, routes, ({ method }) => method === 'PUT');
  const manifest = JSON.stringify({ ...MANIFEST, size: ANNOUNCED });
  const headers = { 'content-length': `${ANNOUNCED}`, 'x-export-manifest': manifest };
  const bytes = bare(draftOf(call, scene), headers, 'x'.repeat(random.integer(0, ANNOUNCED - 1)));
  const stays = random.chance(0.5);
  const expect = stays ? refusal(['upload_cut_off']) : ({ by: 'nothing' } as const);
  const what = `${call.method} ${call.pattern}: file cut, ${stays ? 'half closed' : 'and left'}`;
  return {
    kind: 'broken HTTP',
    what,
    pieces: stays ? [bytes, 'end'] : [bytes],
    frames: [],
    expect,
  };
};
/** As the upload's address announces it. */
const ANNOUNCED = 5;
const MANIFEST = { sha256: '0'.repeat(64), width: 1, height: 1, duration_ms: 1, frames: 1 };

export const brokenHttp: Generator = (scene, routes): Input => {
  if (scene.random.chance(0.15)) return cutFile(scene, routes);
  const call = pickCall(scene, routes, ({ body }) => body !== null);
  const [what, pieces, expect = notHttp] = scene.random.pick(RAWS)(scene, draftOf(call, scene));
  return {
    kind: 'broken HTTP',
    what: `${call.method} ${call.pattern}: ${what}`,
    pieces,
    frames: [],
    expect,
  };
};
