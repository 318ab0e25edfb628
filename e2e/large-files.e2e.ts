import { createHash } from 'node:crypto';
import { createReadStream, openAsBlob } from 'node:fs';
import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { createClient, type ExportClient } from '@export-jobs/client';
import { PART_BYTES, PartsReply, UploadReply, type ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import type { Stack } from '../scripts/stack.ts';
import { presign, type R2Keys } from '../workers/src/lib/s3.ts';
import { download, endOf, post } from './support/http.ts';
import { cutFilm, inspect, lengthen } from './support/media.ts';
import { descendants } from './support/processes.ts';
import { S3_PATH, withS3 } from './support/s3.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';

const SIZE = 160_000_000;
const COUNT = Math.ceil(SIZE / PART_BYTES);
/** Long enough that its GIF goes up by parts too. */
const SECONDS = 20;

/** What a browser keeps from one page to the next. */
const kept = new Map<string, string>();
const store = {
  get: (key: string) => kept.get(key) ?? null,
  set: (key: string, value: string) => void kept.set(key, value),
  delete: (key: string) => void kept.delete(key),
};

describe.each([
  { where: 'through the Worker', isDirect: false },
  { where: 'straight to R2', isDirect: true },
])('large files $where', ({ isDirect }) => {
  let stack: Stack;
  let folder: string;
  let film: string;
  let keys: R2Keys | undefined;
  beforeAll(async () => {
    folder = await temporaryFolder('large');
    const s3 = isDirect ? await withS3() : null;
    keys = s3?.keys;
    stack = await freshStack(s3?.options);
    film = await cutFilm(folder, {
      seconds: SECONDS,
      width: 640,
      height: 360,
      name: 'large "film" é.mp4',
    });
    await fill(film, await lengthen(film, SIZE));
  });
  afterAll(async () => await stack.close());

  /** A page: its client, and what it sent where. */
  function page() {
    const puts: string[] = [];
    const client = createClient({
      baseUrl: stack.url,
      timing: { retries: 10 },
      fetch: async (input, init) => {
        const url = input instanceof Request ? input.url : String(input);
        const response = await fetch(input, init);
        if (init?.method === 'PUT' && response.ok) puts.push(new URL(url).pathname);
        return response;
      },
    });
    return { client, puts };
  }

  const fileOf = async () =>
    new File([await openAsBlob(film)], path.basename(film), { lastModified: 7 });

  async function exportOf(client: ExportClient, upload_id: string): Promise<ExportJob> {
    const options = { container: 'gif', fps: 20, width: 640 } as const;
    const { job } = await client.createExport({ upload_id }, options);
    return await endOf(stack.url, job.id, 400_000);
  }

  it('survive a killed server and a closed page, and come out whole', async () => {
    const first = page();
    const closing = new AbortController();
    let killed = false;
    const file = await fileOf();
    const cutOff = first.client.uploadFile(file, {
      store,
      signal: closing.signal,
      onProgress: (sent) => {
        if (sent > SIZE / 4 && !killed) {
          killed = true;
          killWorkerd(stack);
        }
        if (sent > SIZE / 2) closing.abort(new Error('the page is closed'));
      },
    });
    await expect(cutOff).rejects.toThrow('the page is closed');
    expect(killed).toBe(true);

    const second = page();
    const resumed: number[] = [];
    const { upload_id, size } = await second.client.uploadFile(await fileOf(), {
      store,
      onResume: (sent) => resumed.push(sent),
    });
    expect(size).toBe(SIZE);
    expect(resumed[0]).toBeGreaterThan(SIZE / 4);
    expect(second.puts.length).toBeLessThan(COUNT);
    expect(kept.size).toBe(0);
    const place = isDirect ? S3_PATH : '/api/parts/';
    for (const put of [...first.puts, ...second.puts]) expect(put.startsWith(place)).toBe(true);

    const ended = await exportOf(second.client, upload_id);
    expect(ended).toMatchObject({ status: 'complete', attempt: 1, input_size: SIZE });
    if (ended.status !== 'complete' || !ended.output) throw new Error('no output');
    const out = path.join(folder, 'out.gif');
    const response = await download(stack.url, ended, out);
    expect(new URL(response.url).pathname.startsWith(S3_PATH)).toBe(isDirect);
    expect(response.headers.get('content-type')).toBe('image/gif');
    expect(response.headers.get('content-disposition')).toBe(
      `attachment; filename="large _film_ _-export.gif"; filename*=UTF-8''large%20%22film%22%20%C3%A9-export.gif`,
    );
    expect(await sha256Of(out)).toBe(ended.output.sha256);
    expect((await stat(out)).size).toBeGreaterThan(PART_BYTES);
    expect(await inspect(out)).toMatchObject({ frames: SECONDS * 20 });
    // R2 tells by its tag that the output came by parts.
    expect(response.headers.get('etag')).toMatch(/^"[0-9a-f]{32}-\d+"$/);

    const url = new URL(ended.output_url, stack.url);
    const some = await fetch(url, { headers: { range: 'bytes=0-5' } });
    expect([some.status, await some.text()]).toEqual([206, 'GIF89a']);
    const head = await fetch(url, { method: 'HEAD' });
    expect(head.headers.get('content-length')).toBe(String((await stat(out)).size));
    const etag = head.headers.get('etag') ?? '';
    const known = await fetch(url, { headers: { 'if-none-match': etag }, cache: 'no-store' });
    expect(known.status).toBe(304);
  }, 800_000);

  it('take no other part than the one that an address is for', async () => {
    const body = { filename: 'a.mp4', size: PART_BYTES + 1000 };
    const { upload_id, parts } = await post(`${stack.url}/api/uploads`, body, UploadReply);
    const minted = await fetch(`${stack.url}/api/uploads/${upload_id}/parts`, {
      method: 'POST',
      headers: {
        'content-type': 'application/json',
        authorization: `Bearer ${parts?.token ?? ''}`,
      },
      body: JSON.stringify({ numbers: [2] }),
    });
    const [address] = v.parse(PartsReply, await minted.json()).parts;
    const url = new URL(address?.url ?? '', stack.url);
    const bytes = Buffer.alloc(1000, 7);
    const send = (
      to: URL,
      part: Buffer<ArrayBuffer>,
      md5 = createHash('md5').update(part).digest('base64'),
    ) => fetch(to, { method: 'PUT', body: new Blob([part]), headers: { 'content-md5': md5 } });
    const changed = new URL(url.href.replace('partNumber=2', 'partNumber=1').replace('/2?', '/1?'));
    const longer = Buffer.alloc(1001, 7);
    const otherSize = await send(url, longer);
    expect([403, 422]).toContain(otherSize.status);
    expect((await send(changed, bytes)).status).toBe(403);
    const damaged = await send(url, bytes, createHash('md5').update('other').digest('base64'));
    expect([400, 422]).toContain(damaged.status);
    if (keys) {
      const longer = new URL(url.href.replace('X-Amz-Expires=600', 'X-Amz-Expires=6000'));
      expect((await send(longer, bytes)).status).toBe(403);
      expect((await fetch(await signedAgo(keys, 590_000))).status).toBe(404);
      expect((await fetch(await signedAgo(keys, 610_000))).status).toBe(403);
    }
    const stored = await send(url, bytes);
    expect(stored.status).toBe(200);
    expect(stored.headers.get('etag')).toMatch(/^".+"$/);
  });
});

/** An address of the bucket as the Worker signed it so long ago. */
async function signedAgo(keys: R2Keys, ms: number): Promise<string> {
  vi.useFakeTimers({ toFake: ['Date'], now: Date.now() - ms });
  try {
    return await presign(keys, { method: 'GET', key: 'in/nothing', query: {}, ttlMs: 600_000 });
  } finally {
    vi.useRealTimers();
  }
}

function killWorkerd(stack: Stack): void {
  const all = descendants(stack.worker.pid ?? 0);
  const workerd = all.find(({ program }) => program === 'workerd');
  if (!workerd) throw new Error('there is no workerd to kill');
  process.kill(workerd.pid, 'SIGKILL');
}

async function sha256Of(file: string): Promise<string> {
  const hash = createHash('sha256');
  for await (const chunk of createReadStream(file)) if (Buffer.isBuffer(chunk)) hash.update(chunk);
  return hash.digest('hex');
}

/** Makes the bytes that an mp4 was lengthened by differ from part to part. */
async function fill(file: string, from: number): Promise<void> {
  const { size } = await stat(file);
  const handle = await open(file, 'r+');
  try {
    for (let at = from; at < size; at += 1_000_000) {
      const bytes = Buffer.alloc(Math.min(1_000_000, size - at), at % 251);
      await handle.write(bytes, 0, bytes.length, at);
    }
  } finally {
    await handle.close();
  }
}
