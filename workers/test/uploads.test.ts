import { createExecutionContext, createScheduledController } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import {
  CreateReply,
  MAX_FILE_BYTES,
  MAX_UPLOAD_BYTES,
  PART_BYTES,
  UploadReply,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { afterEach, describe, expect, it, vi } from 'vitest';
import worker from '../src/index.ts';
import { app } from '../src/routes/app.ts';
import { ORIGIN, call, playProvider, post, problemOf } from './harness.ts';
import {
  announce,
  bearer,
  checksumOf,
  complete,
  cut,
  film,
  mint,
  send,
  sendAll,
  urlsOf,
} from './parts.ts';

playProvider();

const FILM = film(PART_BYTES + 5000);
const PARTS = cut(FILM);
const [FIRST, LAST] = PARTS;
if (!FIRST || !LAST) throw new Error('two parts are needed');
const CHECKSUM = checksumOf(PARTS);

const GIB = 1024 ** 3;

/** What a token says, unproven. */
const payloadIn = (token: string): unknown =>
  JSON.parse(atob((token.split('.')[2] ?? '').replaceAll('-', '+').replaceAll('_', '/')));

const keyOf = (uploadId: string) => `in/default/${uploadId}`;

describe('a small file', () => {
  it('goes in one piece, a larger one by equal parts', async () => {
    const reply = await post('/api/uploads', { filename: 'a.mp4', size: PART_BYTES });
    expect(v.parse(UploadReply, await reply.json()).parts).toBeUndefined();
    const { parts } = await announce(3 * PART_BYTES + 1);
    expect(parts).toMatchObject({ size: PART_BYTES, count: 4 });
  });

  it('has no parts to ask for', async () => {
    const reply = await post('/api/uploads', { filename: 'a.mp4', size: 5 });
    const { upload_id, url } = v.parse(UploadReply, await reply.json());
    const headers = bearer(new URL(url, ORIGIN).searchParams.get('token') ?? '');
    const asked = await post(`/api/uploads/${upload_id}/parts`, { numbers: [1] }, headers);
    expect(await problemOf(asked)).toMatchObject({ code: 'upload_not_found' });
  });
});

describe('a large file', () => {
  it('is put together from its parts, in whatever order they come, and can be exported', async () => {
    const upload = await announce(FILM.length);
    const stored = await sendAll(upload, [LAST, FIRST]);
    const done = await complete(upload, stored, CHECKSUM);
    expect(done.status).toBe(200);
    expect(await done.json()).toEqual({
      upload_id: upload.upload_id,
      size: FILM.length,
      etag: CHECKSUM,
    });
    const object = await env.VIDEOS.get(keyOf(upload.upload_id));
    const bytes = (await object?.arrayBuffer()) ?? new ArrayBuffer();
    expect(checksumOf(cut(new Uint8Array(bytes)))).toBe(CHECKSUM);
    const made = await post('/api/jobs', { input: { upload_id: upload.upload_id } });
    const { job } = v.parse(CreateReply, await made.json());
    expect(job).toMatchObject({ filename: 'large.mov', input_size: FILM.length });
  });

  it('is put together once, however often that is asked, at once or later', async () => {
    const upload = await announce(FILM.length);
    const stored = await sendAll(upload, PARTS);
    const answers = await Promise.all(
      Array.from({ length: 3 }, () => complete(upload, stored, CHECKSUM)),
    );
    answers.push(await complete(upload, stored, CHECKSUM));
    for (const answer of answers) {
      expect(await answer.json()).toMatchObject({ size: FILM.length, etag: CHECKSUM });
    }
    const other = await complete(upload, stored, `${'0'.repeat(32)}-2`);
    expect(await problemOf(other)).toMatchObject({ code: 'upload_exists' });
  });

  it('may have a part sent twice: the tags of the last count', async () => {
    const upload = await announce(FILM.length);
    const before = await sendAll(upload, PARTS);
    const again = await sendAll(upload, [FIRST]);
    const old = await complete(upload, before, CHECKSUM);
    expect(await problemOf(old)).toMatchObject({ code: 'upload_mismatch' });
    expect((await complete(upload, [...again, ...before.slice(1)], CHECKSUM)).status).toBe(200);
  });

  it('is not made of other parts, of other tags, or of other bytes than its checksum tells', async () => {
    const upload = await announce(FILM.length);
    const stored = await sendAll(upload, PARTS);
    const [one, two] = stored;
    if (!one || !two) throw new Error('two tags are needed');
    for (const parts of [
      [one, { ...two, etag: one.etag }],
      [one, { ...two, number: 3 }],
    ]) {
      const refused = await complete(upload, parts, CHECKSUM);
      expect(await problemOf(refused)).toMatchObject({ code: 'upload_mismatch' });
    }
    const twice = await complete(upload, [one, two, one], CHECKSUM);
    expect(await problemOf(twice)).toMatchObject({ code: 'invalid_body' });
    expect(await env.VIDEOS.head(keyOf(upload.upload_id))).toBeNull();
    const other = await complete(upload, stored, `${'0'.repeat(32)}-2`);
    expect(await problemOf(other)).toMatchObject({ code: 'upload_mismatch' });
    expect(await env.VIDEOS.head(keyOf(upload.upload_id))).toBeNull();
  });

  it('that lacks a part is thrown away, though its parts fit together', async () => {
    const upload = await announce(FILM.length);
    const [one] = await sendAll(upload, [FIRST]);
    if (!one) throw new Error('a tag is needed');
    const refused = await complete(upload, [one], checksumOf([FIRST]));
    expect(await problemOf(refused)).toMatchObject({ code: 'upload_mismatch' });
    expect(await env.VIDEOS.head(keyOf(upload.upload_id))).toBeNull();
  });

  it('can still go in one piece, as before there were parts', async () => {
    const upload = await announce(FILM.length);
    const put = await call(upload.url, {
      method: 'PUT',
      body: FILM,
      headers: { 'content-length': `${FILM.length}` },
    });
    expect(put.status).toBe(200);
    const stored = await sendAll(upload, PARTS);
    const late = await complete(upload, stored, CHECKSUM);
    expect(await problemOf(late)).toMatchObject({ code: 'upload_exists' });
  });
});

describe('a part', () => {
  it('of another size, damaged on its way, or without a length is refused', async () => {
    const upload = await announce(FILM.length);
    const [url = ''] = await urlsOf(await mint(upload, [2]));
    const short = { ...LAST, bytes: LAST.bytes.subarray(1) };
    expect(await problemOf(await send(url, short))).toMatchObject({ code: 'upload_mismatch' });
    const damaged = { ...LAST, bytes: LAST.bytes.map((byte, i) => (i === 9 ? byte ^ 1 : byte)) };
    expect(await problemOf(await send(url, damaged))).toMatchObject({
      code: 'checksum_mismatch',
      retryable: true,
    });
    expect(await problemOf(await send(url, LAST, { 'content-md5': 'no digest' }))).toMatchObject({
      code: 'checksum_mismatch',
    });
    const headers = { 'content-md5': LAST.md5 };
    const body = new Blob([LAST.bytes]).stream().pipeThrough(new TransformStream());
    const unmeasured = await call(url, { method: 'PUT', body, headers });
    expect(await problemOf(unmeasured)).toMatchObject({ code: 'length_required' });
  });

  it('that ends half-way is no part, and may be sent again', async () => {
    const upload = await announce(FILM.length);
    const [url = ''] = await urlsOf(await mint(upload, [2]));
    const { readable: body, writable } = new FixedLengthStream(LAST.bytes.length);
    const headers = { 'content-length': `${LAST.bytes.length}`, 'content-md5': LAST.md5 };
    const answer = call(url, { method: 'PUT', body, headers });
    const writer = writable.getWriter();
    await writer.write(LAST.bytes.subarray(0, 100));
    await writer.abort(new Error('the connection is gone'));
    const refused = await answer;
    expect(await problemOf(refused)).toMatchObject({
      code: 'upload_cut_off',
      status: 408,
      retryable: true,
    });
    expect((await send(url, LAST)).status).toBe(200);
  });

  it('goes only where its address says, and while that lives', async () => {
    const upload = await announce(FILM.length);
    const [url = ''] = await urlsOf(await mint(upload, [2]));
    for (const wrong of [url.replace('/2?', '/1?'), `${url}x`, url.split('?')[0] ?? '']) {
      expect(await problemOf(await send(wrong, LAST))).toMatchObject({ code: 'link_expired' });
    }
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(Date.now() + 11 * 60_000);
    expect(await problemOf(await send(url, LAST))).toMatchObject({ code: 'link_expired' });
    const [fresh = ''] = await urlsOf(await mint(upload, [2]));
    expect((await send(fresh, LAST)).status).toBe(200);
  });

  it('that the file does not have gets no address', async () => {
    const upload = await announce(FILM.length);
    for (const numbers of [[3], [0], [1.5], [], [1, 2, 3]]) {
      expect(await problemOf(await mint(upload, numbers))).toMatchObject({ code: 'invalid_body' });
    }
  });
});

describe('R2 that is away', () => {
  afterEach(() => vi.restoreAllMocks());

  const away = async (bytes: unknown, pieces: number): Promise<never> => {
    if (!(bytes instanceof ReadableStream)) throw new Error('is to get a stream');
    const reader = bytes.getReader();
    for (let n = 0; n < pieces; n += 1) await reader.read();
    await reader.cancel();
    throw new Error('R2 is away (10001)');
  };

  it.for([0, 2])('after %s pieces of a file is not the fault of who sends it', async (pieces) => {
    const body = new Uint8Array(300_000);
    const announced = await post('/api/uploads', { filename: 'a.mp4', size: body.length });
    const { url } = v.parse(UploadReply, await announced.json());
    const put = () =>
      call(url, { method: 'PUT', body, headers: { 'content-length': `${body.length}` } });
    const broken = vi.spyOn(env.VIDEOS, 'put').mockImplementation((_, b) => away(b, pieces));
    const refused = await put();
    expect(await problemOf(refused)).toMatchObject({ code: 'storage_unavailable', status: 503 });
    broken.mockRestore();
    expect((await put()).status).toBe(200);
  });
});

describe('the token of an upload', () => {
  it('opens that upload alone, until it expires', async () => {
    const [upload, other] = [await announce(FILM.length), await announce(FILM.length)];
    const { upload_id, parts } = upload;
    const calls = (headers: Record<string, string>) => [
      post(`/api/uploads/${upload_id}/parts`, { numbers: [1] }, headers),
      post(
        `/api/uploads/${upload_id}/complete`,
        { parts: [{ number: 1, etag: 'x' }], checksum: CHECKSUM },
        headers,
      ),
      call(`/api/uploads/${upload_id}`, { method: 'DELETE', headers }),
    ];
    const [url = ''] = await urlsOf(await mint(upload, [1]));
    const tokenOfPart = new URL(url, ORIGIN).searchParams.get('token') ?? '';
    for (const headers of [{}, bearer(other.parts.token), bearer('x'), bearer(tokenOfPart)]) {
      for (const answer of await Promise.all(calls(headers))) {
        expect(await problemOf(answer)).toMatchObject({ code: 'unauthorized' });
      }
    }
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(Date.now() + 25 * 60 * 60_000);
    for (const answer of await Promise.all(calls(bearer(parts.token)))) {
      expect(await problemOf(answer)).toMatchObject({ code: 'unauthorized' });
    }
  });

  it('is of the tenant whose credentials asked for it', async () => {
    const key = v.parse(
      v.object({ secret: v.string() }),
      await (await post('/api/keys', { name: 'other', tenant: 'other' })).json(),
    ).secret;
    const announced = await post(
      '/api/uploads',
      { filename: 'a.mp4', size: FILM.length },
      bearer(key),
    );
    const { upload_id, parts, ...rest } = v.parse(UploadReply, await announced.json());
    if (!parts) throw new Error('no parts');
    const upload = { upload_id, parts, ...rest };
    const stored = await sendAll(upload, PARTS);
    expect((await complete(upload, stored, CHECKSUM)).status).toBe(200);
    expect(await env.VIDEOS.head(`in/other/${upload_id}`)).not.toBeNull();
    const stolen = await post('/api/jobs', { input: { upload_id } });
    expect(await problemOf(stolen)).toMatchObject({ code: 'input_not_found' });
  });
});

describe('a file that is not finished', () => {
  afterEach(() => vi.restoreAllMocks());

  const rows = async () =>
    (await env.DB.prepare('SELECT id FROM export_multiparts').all()).results.length;
  const sweep = (at: number) => {
    vi.useFakeTimers({ toFake: ['Date'] });
    vi.setSystemTime(at);
    return worker.scheduled(createScheduledController(), env);
  };

  it('can be given up: no later part is taken, and no file is made', async () => {
    const upload = await announce(FILM.length);
    const stored = await sendAll(upload, PARTS);
    const [url = ''] = await urlsOf(await mint(upload, [1]));
    const headers = bearer(upload.parts.token);
    for (let n = 0; n < 2; n += 1) {
      const gone = await call(`/api/uploads/${upload.upload_id}`, { method: 'DELETE', headers });
      expect(gone.status).toBe(204);
    }
    expect(await problemOf(await send(url, FIRST))).toMatchObject({ code: 'upload_not_found' });
    expect(await problemOf(await complete(upload, stored, CHECKSUM))).toMatchObject({
      code: 'upload_not_found',
    });
  });

  it('is given up by itself after a day, and a finished one is left alone', async () => {
    await env.DB.prepare('DELETE FROM export_multiparts').run();
    const [late, done] = [await announce(FILM.length), await announce(FILM.length)];
    await sendAll(late, [FIRST]);
    expect((await complete(done, await sendAll(done, PARTS), CHECKSUM)).status).toBe(200);
    const end = late.expires_at;
    await sweep(end);
    expect(await rows()).toBe(2);
    // An address that was asked for in the last moment.
    vi.setSystemTime(end - 1000);
    const [url = ''] = await urlsOf(await mint(late, [2]));
    vi.setSystemTime(end + 5 * 60_000);
    expect((await send(url, LAST)).status).toBe(200);
    await sweep(end + 60 * 60_000);
    expect(await rows()).toBe(0);
    vi.setSystemTime(end + 5 * 60_000);
    expect(await problemOf(await send(url, LAST))).toMatchObject({ code: 'upload_not_found' });
    expect(await env.VIDEOS.head(keyOf(done.upload_id))).toMatchObject({ size: FILM.length });
  });

  it('stays on the list while R2 is away', async () => {
    await env.DB.prepare('DELETE FROM export_multiparts').run();
    await announce(FILM.length);
    const resume = vi.spyOn(env.VIDEOS, 'resumeMultipartUpload').mockImplementation(() => {
      throw new Error('R2 is away (10001)');
    });
    await sweep(Date.now() + 25 * 60 * 60_000);
    expect(await rows()).toBe(1);
    resume.mockRestore();
    await sweep(Date.now());
    expect(await rows()).toBe(0);
  });

  it('is begun though D1 is away: R2 itself gives it up in the end', async () => {
    vi.spyOn(env.DB, 'prepare').mockImplementation(() => {
      throw new Error('D1 is away');
    });
    expect((await announce(FILM.length)).parts.count).toBe(2);
  });
});

describe('the plan of an owner', () => {
  const LIMITS = { max_upload_bytes: 1000, upload_types: ['video/mp4', 'image/*'] };
  const ask = async (body: object, limits: object = LIMITS) => {
    const PLANS = JSON.stringify({ default: limits });
    const request = new Request(`${ORIGIN}/api/uploads`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    return app.fetch(request, { ...env, PLANS }, createExecutionContext());
  };

  it('may allow files so large that their parts must be larger, but no request', async () => {
    const allowed = { max_upload_bytes: MAX_FILE_BYTES, max_upload_bytes_per_day: null };
    for (const size of [MAX_UPLOAD_BYTES + 1, 10_000 * PART_BYTES, 600 * GIB + 1, MAX_FILE_BYTES]) {
      const announced = await ask({ filename: 'a.mov', size }, allowed);
      const { parts, ...reply } = v.parse(UploadReply, await announced.json());
      if (!parts) throw new Error('no parts');
      expect(parts.size).toBeGreaterThanOrEqual(PART_BYTES);
      expect(parts.size).toBeLessThan(100_000_000);
      expect(parts.count).toBeLessThanOrEqual(10_000);
      expect(parts.count).toBe(Math.ceil(size / parts.size));
      const [last = ''] = await urlsOf(await mint({ ...reply, parts }, [parts.count]));
      const token = new URL(last, ORIGIN).searchParams.get('token') ?? '';
      const bytes = v.parse(v.object({ s: v.number() }), payloadIn(token)).s;
      expect((parts.count - 1) * parts.size + bytes).toBe(size);
    }
    const beyond = await ask({ filename: 'a.mov', size: MAX_FILE_BYTES + 1 }, allowed);
    expect(await problemOf(beyond)).toMatchObject({ code: 'invalid_body' });
  });

  it('lets no file go in one piece that R2 takes by parts alone', async () => {
    const size = MAX_UPLOAD_BYTES + 1;
    const announced = await ask({ filename: 'a.mov', size }, { max_upload_bytes: size });
    const { url } = v.parse(UploadReply, await announced.json());
    const headers = { 'content-length': `${size}` };
    const put = await call(url, { method: 'PUT', body: 'the first bytes', headers });
    expect(await problemOf(put)).toMatchObject({ code: 'body_too_large', status: 413 });
  });

  it('counts a large file once, however often its parts are sent', async () => {
    const limits = { max_upload_bytes_per_day: FILM.length + 10 };
    await env.DB.exec('DELETE FROM export_upload_bytes');
    const announced = await ask({ filename: 'a.mov', size: FILM.length }, limits);
    const { parts, ...reply } = v.parse(UploadReply, await announced.json());
    if (!parts) throw new Error('no parts');
    const upload = { ...reply, parts };
    await sendAll(upload, PARTS);
    expect((await complete(upload, await sendAll(upload, PARTS), CHECKSUM)).status).toBe(200);
    expect((await ask({ filename: 'a.mov', size: 10 }, limits)).status).toBe(201);
    expect(await problemOf(await ask({ filename: 'a.mov', size: 1 }, limits))).toMatchObject({
      code: 'upload_limit',
    });
  });

  it('counts no large file that R2, being away, could not begin', async () => {
    const limits = { max_upload_bytes_per_day: FILM.length };
    await env.DB.exec('DELETE FROM export_upload_bytes');
    const away = vi.spyOn(env.VIDEOS, 'createMultipartUpload').mockRejectedValue(new Error('away'));
    for (const _ of [1, 2, 3]) {
      const refused = await ask({ filename: 'a.mov', size: FILM.length }, limits);
      expect((await problemOf(refused)).code).toBe('storage_unavailable');
    }
    away.mockRestore();
    expect((await ask({ filename: 'a.mov', size: FILM.length }, limits)).status).toBe(201);
  });

  it('limits the size and the types of files, and says so', async () => {
    expect(await problemOf(await ask({ filename: 'a.mp4', size: 1001 }))).toMatchObject({
      code: 'upload_too_large',
      detail: 'At most 1000 bytes.',
    });
    for (const wrong of [
      { filename: 'a.mov' },
      { filename: 'a' },
      { filename: 'a.mp4', content_type: 'video/quicktime' },
    ]) {
      expect(await problemOf(await ask({ ...wrong, size: 5 }))).toMatchObject({
        code: 'upload_type_not_allowed',
        status: 415,
        detail: 'Only video/mp4, image/*.',
      });
    }
    for (const right of [
      { filename: 'a.MP4' },
      { filename: 'a.mov', content_type: 'video/mp4; codecs=avc1' },
      { filename: 'a.png' },
    ]) {
      expect((await ask({ ...right, size: 5 })).status).toBe(201);
    }
  });

  it('takes by default what may be a film, and no page or picture', async () => {
    const announced = (filename: string) => post('/api/uploads', { filename, size: 5 });
    for (const film of ['a.mp4', 'a.mkv', 'a.gif', 'a.mp3', 'a', 'a.unheard-of']) {
      expect((await announced(film)).status).toBe(201);
    }
    for (const other of ['a.html', 'a.svg', 'a.pdf', 'a.zip']) {
      expect(await problemOf(await announced(other))).toMatchObject({
        code: 'upload_type_not_allowed',
      });
    }
  });
});
