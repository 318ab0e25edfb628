import { randomBytes } from 'node:crypto';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { problem } from '@export-jobs/protocol';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { RenderFailure } from './failure.ts';
import { fetchSource } from './fetch-source.ts';
import { Fenced } from './server-reply.ts';
import { ownOrigin } from './source/own-origin.ts';

const BYTES = randomBytes(3_000_000);
let folder: string;
let cleanup: (() => Promise<unknown>)[] = [];
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'fetch-'));
  cleanup = [() => rm(folder, { recursive: true })];
});
afterEach(async () => {
  for (const undo of cleanup) await undo();
});

async function serve(listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  cleanup.push(async () => {
    server.closeAllConnections();
    server.close();
  });
  const address = server.address();
  return `http://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}/`;
}

function fetchFrom(
  url: string,
  extra: { size?: number; idleMs?: number; signal?: AbortSignal } = {},
) {
  const path = join(folder, 'input');
  const { size = BYTES.length, signal = AbortSignal.timeout(10_000), ...rest } = extra;
  const origin = ownOrigin({ url, size, etag: 'v1' }, 't');
  return fetchSource({ origin, path, signal, retryMs: 5, ...rest });
}
const stored = () => readFile(join(folder, 'input'));

async function failure(work: Promise<unknown>) {
  const error: unknown = await work.catch((reason: unknown) => reason);
  return error instanceof RenderFailure ? error.code : error;
}

describe('fetching the source', () => {
  it('goes on where a cut connection left off, and asks for the same version', async () => {
    const ranges: (string | undefined)[] = [];
    const url = await serve((request, response) => {
      const { range, authorization } = request.headers;
      ranges.push(range);
      if (authorization !== 'Bearer t' || request.headers['if-match'] !== '"v1"') {
        response.writeHead(401).end();
        return;
      }
      const from = Number(/\d+/.exec(range ?? '')?.[0] ?? 0);
      response.writeHead(range ? 206 : 200, {
        'content-length': BYTES.length - from,
        'content-range': `bytes ${from}-${BYTES.length - 1}/${BYTES.length}`,
      });
      const part = BYTES.subarray(from, from + 700_000);
      response.write(part, () => {
        if (from + part.length < BYTES.length) setTimeout(() => response.destroy(), 20);
        else response.end();
      });
    });
    await fetchFrom(url);
    expect(ranges.length).toBeGreaterThan(4);
    expect(ranges[1]).toMatch(/^bytes=[1-9]\d*-$/);
    expect((await stored()).equals(BYTES)).toBe(true);
  });

  it('starts again when the server ignores the range', async () => {
    let calls = 0;
    const url = await serve((_, response) => {
      calls += 1;
      response.writeHead(200, { 'content-length': BYTES.length });
      if (calls > 1) response.end(BYTES);
      else response.write(BYTES.subarray(0, 1000), () => setTimeout(() => response.destroy(), 20));
    });
    await fetchFrom(url);
    expect((await stored()).equals(BYTES)).toBe(true);
  });

  it('gives up a connection that sends nothing, and tries another', async () => {
    let calls = 0;
    const url = await serve((_, response) => {
      calls += 1;
      if (calls > 1) response.writeHead(200, { 'content-length': BYTES.length }).end(BYTES);
    });
    await fetchFrom(url, { idleMs: 100 });
    expect(calls).toBe(2);
  });

  it.each([404, 412])('says that the source is gone at %d', async (status) => {
    const url = await serve((_, response) => response.writeHead(status).end());
    expect(await failure(fetchFrom(url))).toBe('input_gone');
  });

  it('says that an empty source is empty, without asking for it', async () => {
    expect(await failure(fetchFrom('http://127.0.0.1:9/', { size: 0 }))).toBe('input_empty');
  });

  it('gives up after several tries that brought nothing', async () => {
    let calls = 0;
    const url = await serve((_, response) => {
      calls += 1;
      response.writeHead(503).end();
    });
    expect(await failure(fetchFrom(url))).toBe('source_fetch_failed');
    expect(calls).toBe(8);
  });

  it('does not repeat what was refused', async () => {
    let calls = 0;
    const url = await serve((_, response) => {
      calls += 1;
      response.writeHead(403).end();
    });
    expect(await failure(fetchFrom(url))).toBe('source_fetch_failed');
    expect(calls).toBe(1);
  });

  it('stops when it is told to', async () => {
    const body = JSON.stringify(problem('job_finished'));
    const url = await serve((_, response) => response.writeHead(410).end(body));
    expect(await failure(fetchFrom(url))).toBeInstanceOf(Fenced);
  });

  it('ends at once with the reason when it is aborted', async () => {
    const abort = new AbortController();
    const url = await serve((_, response) => {
      response.writeHead(200, { 'content-length': BYTES.length }).write('x');
      abort.abort(new Error('not wanted'));
    });
    await expect(fetchFrom(url, { signal: abort.signal })).rejects.toThrow('not wanted');
  });
});
