// Responsible for sockets that are opened as they should be, and then are told what they should not, and for
// handshakes that are none.
import { CLOSE_CODES, PING } from '@export-jobs/protocol';
import { BODIES, withField, withMore, type Body } from './bodies.ts';
import { NOTHING_IN_IT, NOT_AN_OBJECT, NOT_JSON } from './catalogue.ts';
import { pathOf, pickCall, type Call, type Generator, type Scene } from './calls.ts';
import { closeOf, frameOf, OPCODES } from './frames.ts';
import { refusal, socket, type Expect, type Input } from './input.ts';
import { bytesOf, draftOf, requestInput, short, withHeaders } from './request.ts';
import { outputKey } from './world.ts';

/** The runtime's own verdicts: against the protocol, not UTF-8, too large. */
const PROTOCOL = 1002;
const TOO_BIG = 1009;
/** The largest message that the runtime takes, bytes. */
const RUNTIME_MAX = 32n * 1024n * 1024n;

/** Frames that are bad on any socket, and what may come of them. */
interface Trouble {
  readonly what: string;
  readonly frames: readonly Buffer[];
  readonly expect: Expect;
}

const text = (payload: string | Buffer) => frameOf(OPCODES.text, payload);
const ping = text(PING);

/** Frames that are no WebSocket's: the runtime says so before the Worker hears of them. */
function brokenFrames({ random }: Scene): Trouble {
  const closes = (code: number) => socket({ closes: [code] });
  const opcode = random.pick([3, 4, 5, 6, 7, 11, 12, 13, 14, 15]);
  const reserved = random.pick([1, 2, 3, 4, 5, 6, 7]);
  const length = random.pick([RUNTIME_MAX + 1n, 2n ** 31n, 2n ** 40n, 2n ** 63n, 2n ** 64n - 1n]);
  const half = (n: number) => frameOf(n, 'a', { fin: false });
  return random.pick<Trouble>([
    { what: `opcode ${opcode}`, frames: [frameOf(opcode, 'x')], expect: closes(PROTOCOL) },
    {
      what: `reserved bits ${reserved}`,
      frames: [frameOf(1, 'x', { reserved })],
      expect: closes(PROTOCOL),
    },
    { what: `${length} bytes`, frames: [frameOf(1, 'x', { length })], expect: closes(TOO_BIG) },
    { what: 'a ping in pieces', frames: [half(OPCODES.ping)], expect: closes(PROTOCOL) },
    { what: 'a close in pieces', frames: [half(OPCODES.close)], expect: closes(PROTOCOL) },
    { what: 'the end of nothing', frames: [frameOf(OPCODES.more, 'x')], expect: closes(PROTOCOL) },
    { what: 'a text within a text', frames: [half(1), text('b')], expect: closes(PROTOCOL) },
    {
      what: 'HTTP',
      frames: [Buffer.from('GET / HTTP/1.1\r\nHost: x\r\n\r\n')],
      expect: { by: 'nothing' },
    },
    { what: 'noise', frames: [Buffer.alloc(200, 0xff)], expect: closes(PROTOCOL) },
    { what: 'half a frame', frames: [ping.subarray(0, 5)], expect: { by: 'nothing' } },
    {
      what: 'a text without an end',
      frames: [
        half(1),
        ...Array.from({ length: 300 }, () => frameOf(0, 'b'.repeat(2000), { fin: false })),
      ],
      expect: { by: 'nothing' },
    },
    {
      what: 'a flood of pings',
      frames: [...Array.from({ length: 500 }, () => frameOf(OPCODES.ping, 'x'.repeat(125))), ping],
      expect: socket({ pong: true }),
    },
    {
      what: 'pongs that nobody asked for',
      frames: [...Array.from({ length: 100 }, () => frameOf(OPCODES.pong, 'x')), ping],
      expect: socket({ pong: true }),
    },
  ]);
}

/** Ways to close that are none; the other side must still be told that it is over. */
function wrongClose({ random }: Scene): Trouble {
  const code = random.pick([
    0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
  ]);
  const reason = random.pick(['', 'x'.repeat(123), '\u202e', '\u0000']);
  const frames = random.chance(0.3)
    ? [
        frameOf(
          OPCODES.close,
          Buffer.from(
            random.pick([[], [3], [3, 0xe8, ...Array.from({ length: 123 }, () => 0xff)]]),
          ),
        ),
      ]
    : [closeOf(code, reason)];
  // Any code that says that it is over; most of the ones that were sent may not be said back.
  return { what: `closed with ${code}`, frames, expect: socket({ closes: ANY_CODE }) };
}
const ANY_CODE = Array.from({ length: 4000 }, (_, n) => 1000 + n);

const NOT_SAID = [
  '',
  ' ',
  'ping',
  'null',
  '[]',
  '42',
  '{}',
  '{"type":null}',
  '{"type":"evil"}',
  '{"type":["ping"]}',
  '{"type":"subscribe","since":-1}',
  '{"type":"subscribe","since":1.5}',
  '{"type":"subscribe","since":"0"}',
  '{"type":"subscribe","since":1e999}',
  '{"type":"subscribe","since":null}',
  '{"__proto__":{"type":"ping"}}',
  '{"type":"progress","progress":50}',
  '{"type":"complete"}',
  '['.repeat(1000),
  '\u0000',
  '{"type":"cancel"}',
];

/** What a viewer of a job may not say: ignored, or the end of its socket. */
function atViewer(scene: Scene): Trouble {
  const { random } = scene;
  const said = random.pick(NOT_SAID);
  const size = random.pick([1025, 5000, 70_000, 1_000_000]);
  return random.pick<Trouble>([
    { what: short(said), frames: [text(said), ping], expect: socket({ pong: true }) },
    {
      what: 'bytes',
      frames: [frameOf(OPCODES.binary, said), ping],
      expect: socket({ pong: true }),
    },
    {
      what: 'not UTF-8',
      frames: [text(Buffer.from([0xff, 0xfe])), ping],
      expect: socket({ pong: true, closes: [1007] }),
    },
    {
      what: 'unmasked',
      frames: [frameOf(1, said, { masked: false }), ping],
      expect: socket({ pong: true, closes: [PROTOCOL] }),
    },
    {
      what: `${size} characters`,
      frames: [text('x'.repeat(size))],
      expect: socket({ closes: [CLOSE_CODES.oversize] }),
    },
    {
      what: `${size} bytes`,
      frames: [frameOf(OPCODES.binary, Buffer.alloc(size))],
      expect: socket({ closes: [CLOSE_CODES.oversize] }),
    },
    {
      what: 'a flood',
      frames: Array.from({ length: 40 }, () => text(said)),
      expect: socket({ closes: [CLOSE_CODES.flood] }),
    },
    brokenFrames(scene),
    wrongClose(scene),
  ]);
}

/** Whoever watches a feed has nothing to say. */
function atFeed(scene: Scene): Trouble {
  const { random } = scene;
  const said = random.pick(NOT_SAID);
  const flood = socket({ closes: [CLOSE_CODES.flood] });
  return random.pick<Trouble>([
    { what: short(said), frames: [text(said)], expect: flood },
    { what: 'bytes', frames: [frameOf(OPCODES.binary, said)], expect: flood },
    {
      what: 'too much',
      frames: [text('x'.repeat(1025))],
      expect: socket({ closes: [CLOSE_CODES.oversize] }),
    },
    brokenFrames(scene),
    wrongClose(scene),
  ]);
}

/** What is no call of a renderer. */
function noCalls({ random }: Scene, type: string, body: Body): Record<string, Buffer> {
  const framed: Body = { ...body, value: { type, ...body.value } };
  const field = random.pick(Object.keys(body.fields));
  const value = random.pick(body.fields[field] ?? []);
  const missing = random.pick([...body.required, 'type', 'epoch', 'seq']);
  const wrong = random.pick([...NOT_AN_OBJECT, ...NOTHING_IN_IT, ...NOT_SAID]);
  const garbage = random.pick(NOT_JSON.filter((bad) => bad.length < 60_000));
  const other = random.pick(['claim', 'init', '', 'PROGRESS', '__proto__', 'pong']);
  return {
    [`${type} ${field} = ${short(value)}`]: text(withField(framed, field, value)),
    [`${type} without ${missing}`]: text(withField(framed, missing, null)),
    [`${type} of two types`]: text(withMore(framed, '', `"type":${JSON.stringify(other)}`, false)),
    [short(wrong)]: text(wrong),
    'not JSON': text(garbage),
    bytes: frameOf(OPCODES.binary, JSON.stringify(framed.value)),
    'too much': text(`{"type":"progress","x":"${'x'.repeat(70_000)}"}`),
  };
}

/** What is no call closes the socket of a renderer; a call that is refused is answered. */
function atRenderer(scene: Scene): Trouble {
  const { random, world, lane } = scene;
  const job = world.acme.running[lane] ?? world.acme.pending;
  const [type, body] = random.pick<readonly [string, Body]>([
    ['progress', BODIES.progress(job.epoch)],
    ['complete', BODIES.complete(job.epoch, outputKey(job))],
    ['error', BODIES.error(job.epoch)],
  ]);
  const closes = socket({ closes: [1007] });
  const other = text(JSON.stringify({ type, ...body.value, epoch: job.epoch + 1 }));
  const refused = socket({ notices: ['not_owner'] });
  return random.pick<Trouble>([
    ...Object.entries(noCalls(scene, type, body)).map(([what, frame]) => ({
      what,
      frames: [frame],
      expect: closes,
    })),
    { what: `${type} of another epoch`, frames: [other], expect: refused },
    brokenFrames(scene),
    wrongClose(scene),
  ]);
}

const TROUBLE: Readonly<Record<string, { name: string; draw: (scene: Scene) => Trouble }>> = {
  '/api/jobs/:id/ws': { name: 'viewer', draw: atViewer },
  '/api/feed': { name: 'feed', draw: atFeed },
  '/api/jobs/:id/renderer': { name: 'renderer', draw: atRenderer },
};

const isSocket = ({ headers }: Call) => 'upgrade' in headers;

/** A socket that opens, and is then told something bad. */
export const badFrames: Generator = (scene, routes) => {
  const call = pickCall(scene, routes, isSocket);
  const trouble = TROUBLE[call.pattern];
  if (!trouble) throw new Error(`a socket that is not in the fuzz: ${call.pattern}`);
  const { what, frames, expect } = trouble.draw(scene);
  const pieces = [bytesOf(draftOf(call, scene))];
  return {
    kind: `${trouble.name}’s socket`,
    what: `${short(pathOf(call))}: ${what}`,
    pieces,
    frames,
    expect,
  };
};

/** A handshake that is none. */
export const badHandshake: Generator = (scene, routes): Input => {
  const { random } = scene;
  const draft = draftOf(pickCall(scene, routes, isSocket), scene);
  const version = random.pick([null, '', '12', '8', '0', '-13', '13, 8', 'x', '１３']);
  const platform = [400, 426, 500];
  if (random.chance(0.6)) {
    const wrong = withHeaders(draft, {
      'sec-websocket-version': version && Buffer.from(version).toString('latin1'),
    });
    return requestInput(
      'handshake',
      `version ${version}`,
      wrong,
      refusal(['upgrade_required'], { platform }),
    );
  }
  if (random.chance(0.5)) {
    const wrong = withHeaders(draft, { 'sec-websocket-key': null });
    return requestInput('handshake', 'no key', wrong, refusal(['upgrade_required'], { platform }));
  }
  const method = random.pick(['POST', 'PUT', 'DELETE', 'PATCH']);
  const wrong = { ...draft, method, body: '' };
  return requestInput(
    'handshake',
    method,
    wrong,
    refusal(['method_not_allowed', 'upgrade_required'], { platform }),
  );
};
