import { createExecutionContext, runDurableObjectAlarm } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import {
  JobReply,
  OutputUploadReply,
  PART_BYTES,
  PartsReply,
  type OutputManifest,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { app } from '../src/routes/app.ts';
import {
  FakeRenderer,
  ORIGIN,
  call,
  createJob,
  evict,
  getJob,
  later,
  playProvider,
  post,
  problemOf,
  stubOf,
  textOf,
  ticketOf,
  until,
  upload,
  urlOf,
} from './harness.ts';
import { checksumOf, cut, film, send } from './parts.ts';

playProvider();

const FILM = film(PART_BYTES + 5000);
const PARTS = cut(FILM);
const CHECKSUM = checksumOf(PARTS);
const MANIFEST: OutputManifest = {
  size: FILM.length,
  sha256: 'ab'.repeat(32),
  width: 64,
  height: 36,
  duration_ms: 1000,
  frames: 24,
};

/** The calls of a renderer that stores a large output. */
class LargeOutput {
  readonly #renderer: FakeRenderer;
  upload = '';

  constructor(renderer: FakeRenderer) {
    this.#renderer = renderer;
  }

  post(tail: string, body: object): Promise<Response> {
    const { pathname } = new URL(this.#renderer.claimed?.output.url ?? '');
    return post(pathname + tail, body, this.#renderer.auth);
  }

  async begin(checksum = CHECKSUM, manifest = MANIFEST): Promise<Response> {
    const response = await this.post('', { manifest, checksum });
    if (response.status !== 201) return response;
    const copy = response.clone();
    ({ upload: this.upload } = v.parse(OutputUploadReply, await copy.json()));
    return response;
  }

  ask(numbers: number[]): Promise<Response> {
    return this.post('/parts', { upload: this.upload, numbers });
  }

  async send(parts = PARTS) {
    const response = await this.ask(parts.map(({ number }) => number));
    const urls = v.parse(PartsReply, await response.json()).parts;
    return Promise.all(
      parts.map(async (part, i) => {
        const stored = await send(urls[i]?.url ?? '', part);
        if (stored.status !== 200) throw new Error(await stored.text());
        return { number: part.number, etag: (stored.headers.get('etag') ?? '').slice(1, -1) };
      }),
    );
  }

  finish(parts: object): Promise<Response> {
    return this.post('/complete', { upload: this.upload, parts });
  }

  complete(manifest: OutputManifest = MANIFEST): Promise<Response> {
    const { epoch, output } = this.#renderer.claimed ?? {};
    return this.#renderer.post('complete', { epoch, output_video_key: output?.key, manifest });
  }
}

async function claimed() {
  const job = await createJob();
  const renderer = new FakeRenderer(await ticketOf(job.id));
  const { output } = await renderer.claim();
  return { job, renderer, key: output.key, large: new LargeOutput(renderer) };
}

describe('a large output', () => {
  it('goes by parts of the size that the claim tells, and the job takes it', async () => {
    const { job, renderer, key, large } = await claimed();
    expect(renderer.claimed?.output.parts).toEqual({ size: PART_BYTES });
    await large.begin();
    const parts = await large.send();
    const stored = await large.finish(parts.toReversed());
    expect(await stored.json()).toEqual({ key, size: FILM.length, etag: CHECKSUM });
    expect((await large.complete()).status).toBe(200);
    const done = await getJob(job.id);
    expect(done).toMatchObject({ status: 'complete', output: { ...MANIFEST, key } });
    const { headers, status } = await call(urlOf(done), { headers: { range: 'bytes=0-0' } });
    expect([status, headers.get('content-range')]).toEqual([206, `bytes 0-0/${FILM.length}`]);
  });

  it('is put together once: a repeat is answered the same, and it is not begun again', async () => {
    const { large } = await claimed();
    await large.begin();
    const parts = await large.send();
    const answers = await Promise.all([large.finish(parts), large.finish(parts)]);
    answers.push(await large.finish(parts));
    for (const answer of answers) expect(await answer.json()).toMatchObject({ etag: CHECKSUM });
    expect(await problemOf(await large.begin())).toMatchObject({ code: 'output_exists' });
  });

  it('takes the place of no other output of the same owner', async () => {
    const { renderer, large } = await claimed();
    await large.begin();
    const parts = await large.send();
    await renderer.putOutput('the other one');
    expect(await problemOf(await large.finish(parts))).toMatchObject({ code: 'output_exists' });
    expect((await renderer.complete('the other one')).status).toBe(200);
  });

  it('is thrown away when its bytes are not those that were told', async () => {
    const { job, key, large } = await claimed();
    await large.begin(`${'0'.repeat(32)}-2`);
    const refused = await large.finish(await large.send());
    expect(await problemOf(refused)).toMatchObject({ code: 'upload_mismatch' });
    expect(await env.VIDEOS.head(key)).toBeNull();
    await large.begin(CHECKSUM, { ...MANIFEST, size: FILM.length + 1 });
    const [first] = PARTS;
    const short = await large.finish(await large.send(first && [first]));
    expect(await problemOf(short)).toMatchObject({ code: 'upload_mismatch' });
    expect(await env.VIDEOS.head(key)).toBeNull();
    expect(await problemOf(await large.complete())).toMatchObject({ code: 'output_rejected' });
    expect(await getJob(job.id)).toMatchObject({ status: 'processing' });
  });

  it('is not complete before it is put together, or when the report is of another file', async () => {
    const { large } = await claimed();
    await large.begin();
    const parts = await large.send();
    expect(await problemOf(await large.complete())).toMatchObject({ code: 'output_rejected' });
    await large.finish(parts);
    for (const other of [
      { ...MANIFEST, sha256: 'cd'.repeat(32) },
      { ...MANIFEST, size: 1 },
    ]) {
      expect(await problemOf(await large.complete(other))).toMatchObject({
        code: 'output_rejected',
      });
    }
    expect((await large.complete()).status).toBe(200);
  });

  it('is not believed when R2 has other bytes under its key', async () => {
    const { key, large } = await claimed();
    await large.begin();
    await large.finish(await large.send());
    const { customMetadata = {} } = (await env.VIDEOS.head(key)) ?? {};
    const changed = FILM.slice();
    changed[FILM.length - 1] = 1;
    await env.VIDEOS.put(key, changed, { customMetadata });
    expect(await problemOf(await large.complete())).toMatchObject({
      code: 'output_rejected',
      detail: 'The stored file has another checksum.',
    });
  });

  it('of a renderer that died once it was put together is adopted', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, key, large } = await claimed();
    await large.begin();
    await large.finish(await large.send());
    for (let leases = 0; leases < 2; leases += 1) {
      await evict(job.id);
      later(91_000);
      await runDurableObjectAlarm(stubOf(job.id));
    }
    const done = await until(async () => {
      const seen = await getJob(job.id);
      return seen.status === 'complete' ? seen : null;
    });
    expect(done).toMatchObject({ verified: true, output: { ...MANIFEST, key } });
  });
});

describe('who does not own the attempt', () => {
  it('is given no address and makes no file', async () => {
    const { key, renderer, large } = await claimed();
    await large.begin();
    const parts = await large.send();
    // The same ticket is delivered again: a new owner, of a higher epoch.
    const again = new FakeRenderer({ id: renderer.id, input: renderer.ticket });
    await again.claim();
    const refusals = [await large.begin(), await large.ask([1]), await large.finish(parts)];
    for (const refusal of refusals) {
      expect(await problemOf(refusal)).toMatchObject({ code: 'not_owner', stop: true });
    }
    expect(await env.VIDEOS.head(key)).toBeNull();
    const other = new LargeOutput(again);
    other.upload = large.upload;
    for (const stolen of [await other.ask([1]), await other.finish(parts)]) {
      expect(await problemOf(stolen)).toMatchObject({ code: 'upload_not_found' });
    }
  });

  it('is stopped when the job has ended', async () => {
    const { job, large } = await claimed();
    await large.begin();
    await post(`/api/jobs/${job.id}/cancel`, {});
    for (const refusal of [await large.begin(), await large.ask([1])]) {
      expect(await problemOf(refusal)).toMatchObject({ code: 'job_finished', stop: true });
    }
  });

  it('cannot use the upload of another job, or one that nobody began', async () => {
    const [mine, theirs] = [await claimed(), await claimed()];
    await theirs.large.begin();
    for (const upload of [theirs.large.upload, 'ej1.k1.x.y']) {
      mine.large.upload = upload;
      expect(await problemOf(await mine.large.ask([1]))).toMatchObject({
        code: 'upload_not_found',
      });
    }
    const { pathname } = new URL(mine.renderer.claimed?.output.url ?? '');
    for (const headers of [{}, theirs.renderer.auth]) {
      const asked = await post(`${pathname}/parts`, { upload: 'x', numbers: [1] }, headers);
      expect(await problemOf(asked)).toMatchObject({ code: 'unauthorized' });
    }
    for (const epoch of ['0', '1.5', 'x', '01', '0x1', '1e0', '1%20']) {
      const wrong = pathname.replace(/\d+$/, epoch);
      const asked = await post(`${wrong}/parts`, { upload: 'x', numbers: [1] }, mine.renderer.auth);
      expect(await problemOf(asked)).toMatchObject({ code: 'not_found' });
    }
  });
});

describe('downloads where R2 itself may be asked', () => {
  const R2_S3 = JSON.stringify({
    endpoint: 'https://account.r2.example',
    bucket: 'videos',
    access_key_id: 'an-id',
    secret_access_key: 'a-secret',
  });
  const ask = (url: string, init: RequestInit = {}) =>
    app.fetch(
      new Request(new URL(url, ORIGIN), { redirect: 'manual', ...init }),
      { ...env, R2_S3 },
      createExecutionContext(),
    );

  async function finished(filename = 'my clip.mov') {
    const upload_id = await upload('the source', filename);
    const made = await post('/api/jobs', { input: { upload_id } });
    const { job } = v.parse(JobReply, await made.json());
    const renderer = new FakeRenderer(await ticketOf(job.id));
    const { output } = await renderer.claim();
    await renderer.putOutput('0123456789');
    await renderer.complete('0123456789');
    return { url: urlOf(await getJob(job.id)), key: output.key };
  }

  it('lead to an address of the bucket, for a few minutes', async () => {
    const { url, key } = await finished();
    const response = await ask(url, { headers: { range: 'bytes=2-4' } });
    expect(response.status).toBe(302);
    expect(response.headers.get('cache-control')).toBe('no-store');
    const to = new URL(response.headers.get('location') ?? '');
    expect(to.origin + to.pathname).toBe(`https://account.r2.example/videos/${key}`);
    expect(Object.fromEntries(to.searchParams)).toMatchObject({
      'X-Amz-Expires': '300',
      'X-Amz-SignedHeaders': 'host',
      'response-content-type': 'video/mp4',
      'response-content-disposition':
        'attachment; filename="my clip-export.mp4"; filename*=UTF-8\'\'my%20clip-export.mp4',
    });
    expect(to.href).not.toContain('a-secret');
  });

  it('answer HEAD and conditions themselves, and what is not there', async () => {
    const { url } = await finished();
    const head = await ask(url, { method: 'HEAD' });
    expect([head.status, head.headers.get('content-length')]).toEqual([200, '10']);
    const etag = head.headers.get('etag') ?? '';
    const conditions = [
      ['if-none-match', etag, 304],
      ['if-none-match', '"other"', 302],
      ['if-match', '"other"', 412],
      ['if-match', etag, 302],
    ] as const;
    for (const [name, value, status] of conditions) {
      expect((await ask(url, { headers: { [name]: value } })).status).toBe(status);
    }
    expect((await ask(`${url}x`)).status).toBe(403);
    expect((await ask('/api/videos/download/out%2Fnothing.mp4')).status).toBe(404);
  });

  it('under any name are attachments of that name, and add no header', async () => {
    const names = [
      'a "quoted" \\ name.mov',
      "it's (50 %) *.mov",
      'ünï 🎬 \ud800.mov',
      'a\r\nset-cookie: x=1\r\n\r\n<b>.mov',
      '"; filename="evil.html"; x=".mov',
    ];
    for (const name of names) {
      const { url } = await finished(name);
      const direct = await call(url);
      expect(await textOf(direct)).toBe('0123456789');
      const said = direct.headers.get('content-disposition') ?? '';
      expect(direct.headers.get('set-cookie')).toBeNull();
      expect(direct.headers.get('x-content-type-options')).toBe('nosniff');
      expect(said).toMatch(
        /^attachment; filename="[\x20-\x21\x23-\x5b\x5d-\x7e]*\.mp4"; filename\*=UTF-8''[\w.~!$&+^`|#%-]*\.mp4$/,
      );
      const [, whole = ''] = said.split("UTF-8''");
      expect(decodeURIComponent(whole)).toMatch(/-export\.mp4$/);
      const to = new URL((await ask(url)).headers.get('location') ?? '');
      expect(to.searchParams.get('response-content-disposition')).toBe(said);
      expect(to.href).not.toMatch(/[\r\n"<]/);
    }
  });
});
