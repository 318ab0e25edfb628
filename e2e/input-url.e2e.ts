import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { createServer as createPlainServer } from 'node:http';
import { createServer } from 'node:https';
import path from 'node:path';
import { CreateReply, type ExportJob } from '@export-jobs/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { certificateFor } from '../renderer/test/certificate.ts';
import type { Stack } from '../scripts/stack.ts';
import { endOf, post } from './support/http.ts';
import { cutFilm } from './support/media.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';

const certificate = certificateFor('localhost');
const asked: { path: string; authorization: string | undefined }[] = [];
let reachedInside = 0;
let film: Buffer;
let inside: string;
let stack: Stack;
let host: string;

/** What another server could have: a film, ways to it, and ways to what it has no business with. */
const outsideServer = createServer(certificate, (request, response) => {
  const { pathname } = new URL(request.url ?? '/', 'https://localhost');
  asked.push({ path: pathname, authorization: request.headers.authorization });
  const playlist = `#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n${inside}/film.mp4\n#EXT-X-ENDLIST\n`;
  if (pathname === '/film.mp4') response.end(film);
  else if (pathname === '/moved') response.writeHead(302, { location: '/film.mp4' }).end();
  else if (pathname === '/astray') response.writeHead(302, { location: inside }).end();
  else if (pathname === '/list.mp4') response.end(playlist);
  else response.writeHead(404).end();
});
const insideServer = createPlainServer((_, response) => {
  reachedInside += 1;
  response.end(film);
});

async function listen(server: typeof insideServer): Promise<number> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  return typeof address === 'object' && address ? address.port : 0;
}

beforeAll(async () => {
  const folder = await temporaryFolder('by-url');
  film = await readFile(await cutFilm(folder, { seconds: 1 }));
  inside = `http://127.0.0.1:${await listen(insideServer)}`;
  host = `localhost:${await listen(outsideServer)}`;
  const authority = path.join(folder, 'authority.pem');
  await writeFile(authority, certificate.cert);
  stack = await freshStack({
    workerEnv: { SOURCE_HOSTS: host },
    rendererEnv: { RENDERER_SOURCE_HOSTS: host, NODE_EXTRA_CA_CERTS: authority },
  });
});
afterAll(async () => {
  outsideServer.close();
  insideServer.close();
  await stack.close();
});

async function exportOf(pathname: string): Promise<ExportJob> {
  const input = { url: `https://${host}${pathname}` };
  const { job } = await post(`${stack.url}/api/jobs`, { input }, CreateReply);
  return await endOf(stack.url, job.id);
}

describe('an export of a file on another server', () => {
  it('is made, over a redirect, and nobody there learns who reads', async () => {
    const job = await exportOf('/moved?signature=1');
    expect(job).toMatchObject({ status: 'complete', output: { frames: 24, width: 320 } });
    expect(asked.map(({ path }) => path)).toEqual(['/moved', '/film.mp4']);
    expect(asked.map(({ authorization }) => authorization)).toEqual([undefined, undefined]);
  });

  it.each([
    ['/astray', 'source_refused'],
    ['/list.mp4', 'input_unsupported'],
    ['/nothing', 'source_unavailable'],
  ])('%s ends at once as %s, and reaches nothing of ours', async (pathname, error_code) => {
    expect(await exportOf(pathname)).toMatchObject({ status: 'error', error_code, attempt: 1 });
    expect(reachedInside).toBe(0);
  });
});
