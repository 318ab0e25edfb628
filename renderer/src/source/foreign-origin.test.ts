import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import type { RequestListener } from 'node:http';
import { createServer } from 'node:https';
import { createServer as createTcpServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { getCACertificates, setDefaultCACertificates } from 'node:tls';
import { sourceUrlFlaw } from '@export-jobs/protocol';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { certificateFor } from '../../test/certificate.ts';
import { RenderFailure } from '../failure.ts';
import { fetchSource } from '../fetch-source.ts';
import { foreignOrigin } from './foreign-origin.ts';

// Every name here leads to this machine; 127.0.0.1 stands for a public address, all others for private ones.
const BYTES = randomBytes(300_000);
const certificate = certificateFor('films.org', 'cdn.films.org', 'evil.org', 'moves.org');
const usual = getCACertificates('default');
beforeAll(() => setDefaultCACertificates([...usual, certificate.cert]));
afterAll(() => setDefaultCACertificates(usual));

let folder: string;
let cleanup: (() => void)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'foreign-'));
  cleanup = [];
});
afterEach(async () => {
  for (const undo of cleanup) undo();
  await rm(folder, { recursive: true });
});

/** An HTTPS server, and what it was asked. */
async function serve(listener: RequestListener, address = '127.0.0.1') {
  const asked: { path: string; headers: Record<string, unknown> }[] = [];
  const server = createServer(certificate, (request, response) => {
    asked.push({ path: request.url ?? '', headers: request.headers });
    listener(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, address, resolve));
  cleanup.push(() => {
    server.closeAllConnections();
    server.close();
  });
  const bound = server.address();
  const port = typeof bound === 'object' && bound ? bound.port : 0;
  return {
    asked,
    port,
    at: (name: string, path = '/film.mp4') => `https://${name}:${port}${path}`,
  };
}

/** Something on a private address that must never hear of us. */
async function canary() {
  let connections = 0;
  const server = createTcpServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.2', resolve));
  cleanup.push(() => server.close());
  const bound = server.address();
  const port = typeof bound === 'object' && bound ? bound.port : 0;
  return { port, connections: () => connections };
}

interface Extra {
  limitMs?: number;
  idleMs?: number;
  max_bytes?: number;
  /** The addresses that the names have, one after the other. */
  addresses?: string[];
  ports?: number[];
}

/** A test cannot open port 443: addresses are judged as if they named no port. */
const flawOf = (url: string) =>
  sourceUrlFlaw(url.replace(/^(https?:\/\/[^/]*?):\d{4,5}(?=\/)/, '$1'));

function read(url: string, extra: Extra = {}) {
  const { limitMs, idleMs = 2000, max_bytes = 1_000_000, addresses = ['127.0.0.1'] } = extra;
  const queue = [...addresses];
  const resolve = async (name: string) => {
    if (name === 'private.org') return [{ address: '127.0.0.2', family: 4 }];
    if (name === 'nowhere.org')
      throw Object.assign(new Error('no such name'), { code: 'ENOTFOUND' });
    const address = queue.length > 1 ? queue.shift() : queue[0];
    return [{ address: address ?? '', family: 4 }];
  };
  const guard = {
    exempt: [],
    flawOf,
    resolve,
    isPublic: (address: string) => address === '127.0.0.1',
  };
  const origin = foreignOrigin({ url, max_bytes }, guard, limitMs);
  const signal = AbortSignal.timeout(20_000);
  return fetchSource({ origin, path: join(folder, 'input'), signal, retryMs: 5, idleMs });
}
const stored = () => readFile(join(folder, 'input'));
const whole: RequestListener = (_, response) => {
  response.writeHead(200, { 'content-length': BYTES.length }).end(BYTES);
};

async function failure(work: Promise<unknown>) {
  const error: unknown = await work.catch((reason: unknown) => reason);
  return error instanceof RenderFailure ? error.code : error;
}

describe('reading a source of another server', () => {
  it('sends nothing that we could be known by, and asks for the bytes as they are', async () => {
    const { asked, at, port } = await serve(whole);
    await read(at('films.org', '/a/film.mp4?signature=1'));
    expect((await stored()).equals(BYTES)).toBe(true);
    expect(asked).toEqual([
      {
        path: '/a/film.mp4?signature=1',
        headers: {
          accept: '*/*',
          'accept-encoding': 'identity',
          host: `films.org:${port}`,
          connection: 'close',
        },
      },
    ]);
  });

  it('follows three redirects, and not a fourth', async () => {
    const { asked, at } = await serve((request, response) => {
      const left = Number(request.url?.slice(1));
      if (left === 0) whole(request, response);
      else response.writeHead(302, { location: `/${left - 1}`, 'set-cookie': 'a=1' }).end();
    });
    await read(at('films.org', '/3'));
    expect((await stored()).equals(BYTES)).toBe(true);
    expect(asked.map(({ path }) => path)).toEqual(['/3', '/2', '/1', '/0']);
    expect(asked.some(({ headers }) => 'cookie' in headers || 'referer' in headers)).toBe(false);
    expect(await failure(read(at('films.org', '/4')))).toBe('source_unavailable');
    expect(asked.at(-1)?.path).toBe('/1');
  });

  it('connects to no private address, though its name is public', async () => {
    const { connections, port } = await canary();
    expect(await failure(read(`https://private.org:${port}/film.mp4`))).toBe('source_refused');
    expect(connections()).toBe(0);
  });

  it.each([
    ['another name that is private', (port: number) => `https://private.org:${port}/x`],
    ['an address', (port: number) => `https://127.0.0.2:${port}/x`],
    ['an address as a number', (port: number) => `https://2130706434:${port}/x`],
    ['an address within IPv6', (port: number) => `https://[::ffff:127.0.0.2]:${port}/x`],
    ['plain HTTP', (port: number) => `http://127.0.0.2:${port}/x`],
    ['plain HTTP of a name', (port: number) => `http://films.org:${port}/x`],
    ['a file', () => 'file:///etc/passwd'],
    ['a password', (port: number) => `https://user:pass@films.org:${port}/x`],
    ['nonsense', () => 'https://'],
    ['nowhere', () => ''],
  ])('follows no redirect to %s', async (_, target) => {
    const { connections, port } = await canary();
    const { asked, at } = await serve((request, response) => {
      if (asked.length > 1) whole(request, response);
      else response.writeHead(307, { location: target(port) }).end();
    });
    const code = await failure(read(at('films.org')));
    // A redirect to nowhere is one to itself.
    if (target(port) === '') expect(asked.length).toBe(2);
    else expect(code).toBe('source_refused');
    expect(connections()).toBe(0);
  });

  it('is not led elsewhere by a name that changes between the check and the connection', async () => {
    const { connections, port } = await canary();
    const addresses = ['127.0.0.1', '127.0.0.2'];
    // Nobody listens on that port of the public address: each try asks the name anew, and each answer counts.
    const code = await failure(read(`https://moves.org:${port}/film.mp4`, { addresses }));
    expect(code).toBe('source_refused');
    expect(connections()).toBe(0);
  });

  it('is led nowhere by a name that changes when a cut connection is replaced', async () => {
    const { connections } = await canary();
    const { asked, at } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': BYTES.length, etag: '"v1"' });
      response.write(BYTES.subarray(0, 1000), () => setTimeout(() => response.destroy(), 20));
    });
    const addresses = ['127.0.0.1', '127.0.0.2'];
    expect(await failure(read(at('moves.org'), { addresses }))).toBe('source_refused');
    expect(asked.length).toBe(1);
    expect(connections()).toBe(0);
  });

  it('believes in no certificate but one that is valid for the name', async () => {
    const { asked, at } = await serve(whole);
    expect(await failure(read(at('other.org')))).toBe('source_unavailable');
    expect(asked).toEqual([]);
  });

  it('goes on where a cut connection left off, if that is the same version by a strong tag', async () => {
    const { asked, at } = await serve((request, response) => {
      const from = Number(/\d+/.exec(request.headers.range ?? '')?.[0] ?? 0);
      const range = { 'content-range': `bytes ${from}-${BYTES.length - 1}/${BYTES.length}` };
      response.writeHead(from > 0 ? 206 : 200, {
        'content-length': BYTES.length - from,
        etag: '"v1"',
        ...(from > 0 && range),
      });
      const part = BYTES.subarray(from, from + 200_000);
      if (from + part.length < BYTES.length)
        response.write(part, () => setTimeout(() => response.destroy(), 50));
      else response.end(part);
    });
    await read(at('films.org'));
    expect((await stored()).equals(BYTES)).toBe(true);
    expect(asked.map(({ headers }) => headers['if-range'])).toEqual([undefined, '"v1"']);
    expect(asked[1]?.headers['range']).toMatch(/^bytes=[1-9]\d*-$/);
  });

  it('begins again where it cannot be sure of the version, and keeps nothing of the earlier one', async () => {
    let calls = 0;
    const { asked, at } = await serve((_, response) => {
      calls += 1;
      const body = calls === 1 ? BYTES : BYTES.subarray(100_000, 101_000);
      response.writeHead(200, { 'content-length': body.length, etag: `W/"${calls}"` });
      if (calls > 1) response.end(body);
      else
        response.write(body.subarray(0, 200_000), () => setTimeout(() => response.destroy(), 50));
    });
    await read(at('films.org'));
    expect(asked[1]?.headers['range']).toBeUndefined();
    expect((await stored()).equals(BYTES.subarray(100_000, 101_000))).toBe(true);
  });

  it('reads nothing of a file that says it is too large', async () => {
    const { at } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': 5_000_000_000 }).write(BYTES);
    });
    expect(await failure(read(at('films.org')))).toBe('input_too_large');
    expect((await stat(join(folder, 'input'))).size).toBe(0);
  });

  it('stops at the limit of a stream that never ends and does not say how long it is', async () => {
    let closed = false;
    const { at } = await serve((_, response) => {
      response.once('close', () => (closed = true));
      const pour = () => {
        response.write(BYTES);
        response.once('drain', pour);
      };
      pour();
    });
    expect(await failure(read(at('films.org')))).toBe('input_too_large');
    expect((await stat(join(folder, 'input'))).size).toBeLessThanOrEqual(1_000_000);
    await vi.waitFor(() => expect(closed).toBe(true), 20_000);
  });

  it('stops at its time a server that lets bytes drip for ever', async () => {
    const { asked, at } = await serve((_, response) => {
      const drip = setInterval(() => response.write('x'), 20);
      response.once('close', () => clearInterval(drip));
    });
    expect(await failure(read(at('films.org'), { limitMs: 400 }))).toBe('source_unavailable');
    expect(asked.length).toBe(1);
  });

  it('stops at its time a server that breaks off after each byte', async () => {
    let sent = 0;
    const { at } = await serve((_, response) => {
      sent += 1;
      response.writeHead(200, { 'content-length': BYTES.length });
      response.write(BYTES.subarray(0, sent), () => setTimeout(() => response.destroy(), 5));
    });
    expect(await failure(read(at('films.org'), { limitMs: 600 }))).toBe('source_unavailable');
  });

  it('unpacks nothing', async () => {
    const { at } = await serve((_, response) => {
      response.writeHead(200, { 'content-encoding': 'gzip' }).end(BYTES);
    });
    expect(await failure(read(at('films.org')))).toBe('source_unavailable');
  });

  it.each([401, 403, 404, 410, 206, 304])('does not ask again after %d', async (status) => {
    const { asked, at } = await serve((_, response) => response.writeHead(status).end());
    expect(await failure(read(at('films.org')))).toBe('source_unavailable');
    expect(asked.length).toBe(1);
  });

  it.each([429, 500, 503])('asks again after %d, and gives up in the end', async (status) => {
    const { asked, at } = await serve((_, response) => response.writeHead(status).end());
    expect(await failure(read(at('films.org')))).toBe('source_unreachable');
    expect(asked.length).toBe(8);
  });

  it('says that an empty file is empty, and that a name does not exist', async () => {
    const { at } = await serve((_, response) => response.writeHead(200).end());
    expect(await failure(read(at('films.org')))).toBe('input_empty');
    expect(await failure(read('https://nowhere.org/film.mp4'))).toBe('source_unavailable');
  });
});
