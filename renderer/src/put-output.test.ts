import { createHash, randomBytes } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { problem, type ProblemCode } from '@export-jobs/protocol';
import { afterEach, describe, expect, it } from 'vitest';
import { RenderFailure } from './failure.ts';
import { openOutput } from './output-file.ts';
import { putOutput } from './put-output.ts';
import { Fenced } from './server-reply.ts';

const BYTES = randomBytes(2_000_000);
const MANIFEST = {
  size: BYTES.length,
  sha256: createHash('sha256').update(BYTES).digest('hex'),
  width: 2,
  height: 2,
  duration_ms: 1000,
  frames: 25,
};
const cleanup: (() => Promise<unknown>)[] = [];
afterEach(async () => {
  for (const undo of cleanup.splice(0)) await undo();
});

async function putTo(answer: (request: IncomingMessage, response: ServerResponse) => void) {
  const folder = await mkdtemp(join(tmpdir(), 'put-'));
  const server = createServer(answer);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
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
  const file = await openOutput(path);
  cleanup.push(() => file.handle.close());
  const signal = AbortSignal.timeout(10_000);
  const sent: number[] = [];
  await putOutput({
    output: { url: `http://127.0.0.1:${port}/output`, content_type: 'video/mp4' },
    token: 't',
    file,
    manifest: MANIFEST,
    digest: { parts: [], checksum: '' },
    signal,
    retryMs: 5,
    onBytes: (bytes) => sent.push(bytes),
  });
  return sent;
}

function refuse(response: ServerResponse, code: ProblemCode): void {
  const body = problem(code);
  response.writeHead(body.status).end(JSON.stringify(body));
}

describe('storing the output', () => {
  it('sends the bytes with their length, type and hash', async () => {
    const got: Buffer[] = [];
    let headers: IncomingMessage['headers'] = {};
    const sent = await putTo((request, response) => {
      ({ headers } = request);
      request.on('data', (part: Buffer) => got.push(part)).on('end', () => response.end('{}'));
    });
    expect(Buffer.concat(got).equals(BYTES)).toBe(true);
    expect(headers).toMatchObject({
      authorization: 'Bearer t',
      'content-length': '2000000',
      'content-type': 'video/mp4',
      'x-export-manifest': JSON.stringify(MANIFEST),
    });
    expect(sent.at(-1)).toBe(BYTES.length);
  });

  it('repeats after cuts and failures of the server', async () => {
    let calls = 0;
    await putTo((request, response) => {
      calls += 1;
      if (calls === 1) request.once('data', () => request.destroy());
      else if (calls === 2) refuse(response, 'storage_unavailable');
      else request.resume().on('end', () => response.end('{}'));
    });
    expect(calls).toBe(3);
  });

  it('is content when the output is stored already', async () => {
    await putTo((request, response) => {
      request.resume().on('end', () => refuse(response, 'output_exists'));
    });
  });

  it('hears a refusal that comes before the bytes are through', async () => {
    const storing = putTo((_, response) => refuse(response, 'not_owner'));
    await expect(storing).rejects.toBeInstanceOf(Fenced);
  });

  it('does not repeat what was refused', async () => {
    let calls = 0;
    const error: unknown = await putTo((request, response) => {
      calls += 1;
      request.resume().on('end', () => refuse(response, 'upload_mismatch'));
    }).catch((reason: unknown) => reason);
    expect(error instanceof RenderFailure && error.code).toBe('upload_failed');
    expect(calls).toBe(1);
  });
});
