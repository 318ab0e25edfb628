// Senders who vanish in the middle of a file, on real sockets, and what is made of that.
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { PART_BYTES, PartsReply, UploadReply } from '@export-jobs/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { System } from '../fuzz/system.ts';
import { HandRenderer } from './support/hand-renderer.ts';
import { exportOf, post } from './support/http.ts';
import { until } from './support/processes.ts';
import { temporaryFolder } from './support/stack.ts';

const FILE = Buffer.alloc(200_000, 7);
const MD5 = createHash('md5').update(FILE).digest('base64');
const MANIFEST = {
  size: FILE.length,
  sha256: createHash('sha256').update(FILE).digest('hex'),
  width: 16,
  height: 16,
  duration_ms: 40,
  frames: 1,
};

let system: System;
let base: string;
let film: string;
beforeAll(async () => {
  const folder = await temporaryFolder('cut');
  film = path.join(folder, 'film.mp4');
  [system] = await Promise.all([System.start('development', folder), writeFile(film, FILE)]);
  base = `http://127.0.0.1:${system.port}`;
});
afterAll(async () => await system.close());

interface Target {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

const KINDS: Readonly<Record<string, () => Promise<Target>>> = {
  'an upload': async () => {
    const body = { filename: 'a.mp4', size: FILE.length };
    const { url } = await post(`${base}/api/uploads`, body, UploadReply);
    return { url, headers: {} };
  },
  'a part': async () => {
    const body = { filename: 'a.mp4', size: PART_BYTES + FILE.length };
    const { upload_id, parts } = await post(`${base}/api/uploads`, body, UploadReply);
    const address = `${base}/api/uploads/${upload_id}/parts`;
    const minted = await post(address, { numbers: [2] }, PartsReply, parts?.token);
    return { url: minted.parts[0]?.url ?? '', headers: { 'content-md5': MD5 } };
  },
  'an output': async () => {
    const [renderer] = await Promise.all([HandRenderer.takes(system), exportOf(base, film)]);
    const headers = {
      authorization: `Bearer ${renderer.ticket.token}`,
      'x-export-manifest': JSON.stringify(MANIFEST),
    };
    return { url: renderer.output.url, headers };
  },
};

/** Announces the whole file and sends half of it. */
async function sendHalf({ url, headers }: Target) {
  const { pathname, search, port } = new URL(url, base);
  const socket = connect({ port: Number(port), host: '127.0.0.1', allowHalfOpen: true });
  socket.on('error', () => undefined);
  const lines = Object.entries({ host: `localhost:${port}`, ...headers }).map(
    ([name, value]) => `${name}: ${value}\r\n`,
  );
  socket.write(
    `PUT ${pathname}${search} HTTP/1.1\r\ncontent-length: ${FILE.length}\r\n${lines.join('')}\r\n`,
  );
  await new Promise((resolve) => socket.write(FILE.subarray(0, FILE.length / 2), resolve));
  return socket;
}

async function sendWhole({ url, headers }: Target): Promise<number> {
  const put = await fetch(new URL(url, base), { method: 'PUT', headers, body: FILE });
  await put.body?.cancel();
  return put.status;
}

describe.each(Object.entries(KINDS))('%s that ends half-way', (_, begin) => {
  it('is refused to who still listens, as its own fault, and can be sent again', async () => {
    const target = await begin();
    const socket = await sendHalf(target);
    const answered = text(socket);
    socket.end();
    const answer = await answered;
    socket.destroy();
    expect(answer).toMatch(/^HTTP\/1\.1 408 /);
    expect(answer).toContain('"code":"upload_cut_off"');
    expect(await sendWhole(target)).toBe(200);
    expect(system.errors).toEqual([]);
  });

  it('leaves nothing behind when its sender is gone, and no complaint about R2', async () => {
    const target = await begin();
    const socket = await sendHalf(target);
    socket.destroy();
    await once(socket, 'close');
    // Until R2 has given up the half, it may not have the whole.
    await until('the whole is stored', async () => (await sendWhole(target)) === 200);
    expect(system.errors).toEqual([]);
  });
});
