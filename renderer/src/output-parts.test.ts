import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  OutputCompleteRequest,
  OutputPartsRequest,
  OutputUploadRequest,
  problem,
  type ProblemCode,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { afterEach, describe, expect, it } from 'vitest';
import { RenderFailure } from './failure.ts';
import { digestOf } from './file-digest.ts';
import { openOutput } from './output-file.ts';
import { putOutput } from './put-output.ts';
import { Fenced } from './server-reply.ts';

const BYTES = randomBytes(2_000_000);
const PART = 200_000;
const COUNT = 10;
const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0)) await undo();
});

type What = 'begin' | 'ask' | 'part' | 'complete';
interface Call {
  readonly what: What;
  /** Of a part. */
  readonly number: number;
  /** How often this very call has come, from 1. */
  readonly nth: number;
}
/** How a call is answered wrongly; an odd status has no body of ours, as from R2. */
type Trouble = ProblemCode | number | 'cut' | undefined;

/** Plays the server and R2, sends the file there, and tells what was seen. */
async function sendTo(trouble: (call: Call) => Trouble = () => undefined) {
  const stored = new Map<number, Buffer>();
  const calls: Call[] = [];
  let file: Buffer | undefined;
  let checksum = '';

  function answer(call: Call, request: IncomingMessage, raw: Buffer, response: ServerResponse) {
    const fault = trouble(call);
    if (fault === 'cut') return void request.socket.destroy();
    if (typeof fault === 'number') return void response.writeHead(fault).end('<Error/>');
    if (fault) return refuse(response, fault);
    if (call.what === 'part') return keep(call.number, request, raw, response);
    expect(request.headers.authorization).toBe('Bearer t');
    const body: unknown = JSON.parse(raw.toString());
    if (call.what === 'begin') {
      ({ checksum } = v.parse(OutputUploadRequest, body));
      return json(response, { upload: 'u', expires_at: 1 });
    }
    if (call.what === 'ask') {
      const { numbers, upload } = v.parse(OutputPartsRequest, body);
      expect(upload).toBe('u');
      const parts = numbers.map((number) => ({ number, url: `/r2/${number}?of=${call.nth}` }));
      return json(response, { parts, expires_at: 1 });
    }
    const { parts } = v.parse(OutputCompleteRequest, body);
    expect(parts).toEqual(
      Array.from({ length: COUNT }, (_, i) => ({ number: i + 1, etag: tagOf(i + 1) })),
    );
    file = Buffer.concat(parts.map(({ number }) => stored.get(number) ?? Buffer.alloc(0)));
    json(response, {});
  }

  function keep(number: number, request: IncomingMessage, raw: Buffer, response: ServerResponse) {
    // It may be another host: no token of ours is for it.
    expect(request.headers.authorization).toBeUndefined();
    expect(request.headers['content-md5']).toBe(createHash('md5').update(raw).digest('base64'));
    stored.set(number, raw);
    response.setHeader('etag', `"${tagOf(number)}"`);
    json(response, {});
  }
  const tagOf = (number: number) => `tag-${number}-${stored.get(number)?.length ?? 'none'}`;

  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on('data', (chunk: Buffer) => chunks.push(chunk));
    request.on('end', () => {
      const [what, number] = whatOf(request.url ?? '');
      const nth = 1 + calls.filter((one) => one.what === what && one.number === number).length;
      calls.push({ what, number, nth });
      try {
        answer({ what, number, nth }, request, Buffer.concat(chunks), response);
      } catch {
        refuse(response, 'invalid_body');
      }
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const folder = await mkdtemp(join(tmpdir(), 'parts-'));
  cleanup.push(
    () => rm(folder, { recursive: true }),
    async () => {
      server.closeAllConnections();
      server.close();
    },
  );
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : 0;
  const path = join(folder, 'output.mp4');
  await writeFile(path, BYTES);
  const sent = await openOutput(path);
  cleanup.push(() => sent.handle.close());
  const signal = AbortSignal.timeout(20_000);
  const digest = await digestOf(sent, PART, signal);
  const manifest = {
    size: BYTES.length,
    sha256: digest.sha256,
    width: 2,
    height: 2,
    duration_ms: 1000,
    frames: 25,
  };
  const told: number[] = [];
  const url = `http://127.0.0.1:${port}/output`;
  const failure: unknown = await putOutput({
    output: { url, content_type: 'video/mp4', parts: { size: PART } },
    token: 't',
    file: sent,
    manifest,
    digest,
    signal,
    retryMs: 2,
    onBytes: (bytes) => told.push(bytes),
  }).catch((error: unknown) => error);
  const times = (what: What) => calls.filter((call) => call.what === what).length;
  return { failure, isWhole: file?.equals(BYTES) ?? false, checksum, digest, told, times };
}

function whatOf(url: string): [What, number] {
  const part = /^\/r2\/(\d+)/.exec(url)?.[1];
  if (part !== undefined) return ['part', Number(part)];
  if (url.endsWith('/parts')) return ['ask', 0];
  return [url.endsWith('/complete') ? 'complete' : 'begin', 0];
}

function json(response: ServerResponse, body: object): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify(body));
}

function refuse(response: ServerResponse, code: ProblemCode): void {
  const body = problem(code);
  response.writeHead(body.status).end(JSON.stringify(body));
}

describe('a large output', () => {
  it('goes by parts, to addresses that are asked for some at a time, and is put together', async () => {
    const { failure, isWhole, checksum, digest, told, times } = await sendTo();
    expect(failure).toBeUndefined();
    expect(isWhole).toBe(true);
    expect(checksum).toBe(digest.checksum);
    expect(told.at(-1)).toBe(BYTES.length);
    expect([times('begin'), times('ask'), times('part'), times('complete')]).toEqual([1, 2, 10, 1]);
  });

  it('has each call repeated that was cut off or failed for now', async () => {
    const { failure, isWhole, times } = await sendTo(({ what, nth }) => {
      if (nth === 1) return what === 'part' ? undefined : 'cut';
      return nth === 2 && what !== 'part' ? 'storage_unavailable' : undefined;
    });
    expect(failure).toBeUndefined();
    expect(isWhole).toBe(true);
    expect([times('begin'), times('complete')]).toEqual([3, 3]);
  });

  it('has a part sent again that was cut off, damaged, or came to an address that was too old', async () => {
    const troubles: Record<number, Trouble> = {
      1: 'cut',
      2: 'checksum_mismatch',
      3: 400,
      4: 403,
      5: 'link_expired',
      6: 503,
    };
    const { failure, isWhole, times } = await sendTo(({ what, number, nth }) =>
      what === 'part' && nth === 1 ? troubles[number] : undefined,
    );
    expect(failure).toBeUndefined();
    expect(isWhole).toBe(true);
    expect(times('part')).toBe(16);
  });

  it('that is there already is success, before the first part and at the end', async () => {
    for (const at of ['begin', 'complete']) {
      const { failure } = await sendTo(({ what }) => (what === at ? 'output_exists' : undefined));
      expect(failure).toBeUndefined();
    }
  });

  it('is let be at once by who was fenced off', async () => {
    for (const at of ['begin', 'ask', 'complete']) {
      const { failure, isWhole } = await sendTo(({ what }) =>
        what === at ? 'not_owner' : undefined,
      );
      expect(failure).toBeInstanceOf(Fenced);
      expect(isWhole).toBe(false);
    }
  });

  it('fails when a part is refused for good, and no other part is begun', async () => {
    const { failure, times } = await sendTo(({ what, number }) =>
      what === 'part' && number === 2 ? 'upload_not_found' : undefined,
    );
    expect(failure instanceof RenderFailure && failure.code).toBe('upload_failed');
    expect(times('part')).toBeLessThan(COUNT);
    expect(times('complete')).toBe(0);
  });
});
