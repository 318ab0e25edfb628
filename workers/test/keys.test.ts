import { env } from 'cloudflare:workers';
import { createHash } from 'node:crypto';
import { CreateReply, KeyList, KeyReply, ListReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import type { Env } from '../src/lib/env.ts';
import { randomId } from '../src/lib/ids.ts';
import { MINUTE, call, later, playProvider, problemOf, until } from './harness.ts';
import {
  API_KEY,
  ask,
  askWith,
  feedOf,
  jobOf,
  newKey,
  production,
  tampered,
  uploadOf,
} from './production.ts';

playProvider();

const fakeTime = () => vi.useFakeTimers({ toFake: ['Date'] });

/** A database that can be away. */
const switched = (db: D1Database, state: { isAway: boolean }): D1Database =>
  new Proxy(db, {
    get: () => (sql: string) =>
      state.isAway ? db.prepare('SELECT * FROM nowhere') : db.prepare(sql),
  });

/** A key in the right form that nobody was given. */
function madeUpKey(): string {
  const bare = `ejk_${randomId().slice(0, 12)}_${randomId()}${randomId()}`;
  return bare + createHash('sha256').update(bare).digest('hex').slice(0, 8);
}

describe('an API key', () => {
  it('is told once, and kept as a hash', async () => {
    const { key, secret } = await newKey({ name: 'backend', tenant: 'acme' });
    expect(secret).toMatch(/^ejk_[0-9a-z]{12}_[0-9a-z]{60}$/);
    expect(secret.startsWith(key.prefix)).toBe(true);
    const { results } = await env.DB.prepare('SELECT * FROM export_api_keys').all();
    expect(JSON.stringify(results)).not.toContain(secret.slice(17));
    const listed = await ask('/api/keys?tenant=acme', {}, API_KEY);
    const text = await listed.text();
    expect(text).not.toContain(secret.slice(17));
    expect(v.parse(KeyList, JSON.parse(text)).data).toMatchObject([
      { id: key.id, name: 'backend', tenant: 'acme', revoked_at: null },
    ]);
  });

  it('opens what its rights cover and nothing else', async () => {
    const { secret } = await newKey({ tenant: 'acme', rights: ['read'] });
    expect((await ask('/api/jobs', {}, secret)).status).toBe(200);
    const made = await askWith(secret, 'POST', '/api/uploads', { filename: 'a', size: 1 });
    expect(await problemOf(made)).toMatchObject({ code: 'forbidden' });
    expect((await ask('/api/keys', {}, secret)).status).toBe(403);
  });

  it('says when it was last used, to the hour', async () => {
    const { key, secret } = await newKey({ tenant: 'used' });
    await ask('/api/jobs', {}, secret);
    const listed = await ask('/api/keys?tenant=used', {}, API_KEY);
    const [seen] = v.parse(KeyList, await listed.json()).data;
    expect(seen?.id).toBe(key.id);
    expect(seen?.last_used_at).toBeGreaterThan(0);
  });

  it('that was revoked opens nothing after half a minute, for good', async () => {
    fakeTime();
    const { key, secret } = await newKey({ tenant: 'gone' });
    expect((await ask('/api/jobs', {}, secret)).status).toBe(200);
    // As another isolate does it, behind this one's memory.
    await env.DB.prepare('UPDATE export_api_keys SET revoked_at = 1 WHERE id = ?')
      .bind(key.id)
      .run();
    later(29_999);
    expect((await ask('/api/jobs', {}, secret)).status).toBe(200);
    later(1);
    expect((await ask('/api/jobs', {}, secret)).status).toBe(401);
    const revoked = await ask(`/api/keys/${key.id}`, { method: 'DELETE' }, API_KEY);
    expect(revoked.status).toBe(200);
    const again = await ask(`/api/keys/${key.id}`, { method: 'DELETE' }, API_KEY);
    expect(again.status).toBe(200);
    expect((await ask('/api/keys/nobody', { method: 'DELETE' }, API_KEY)).status).toBe(404);
  });

  it('that has expired opens nothing', async () => {
    fakeTime();
    const { secret } = await newKey({ expires_at: Date.now() + 60_000 });
    expect((await ask('/api/jobs', {}, secret)).status).toBe(200);
    later(60_000);
    expect((await ask('/api/jobs', {}, secret)).status).toBe(401);
  });

  it('of which one letter is wrong is refused without asking the database', async () => {
    const { secret } = await newKey();
    const noDatabase: Env = { ...production, DB: new Proxy(env.DB, { get: () => undefined }) };
    expect((await ask('/api/jobs', {}, tampered(secret), noDatabase)).status).toBe(401);
  });

  it('is looked at in development too, so that tenants can be tried there', async () => {
    const { key, secret } = await newKey({ tenant: 'acme' });
    const headers = (token: string) => ({ authorization: `Bearer ${token}` });
    expect((await call('/api/jobs', { headers: headers(tampered(secret)) })).status).toBe(401);
    expect((await call('/api/jobs', { headers: headers(secret) })).status).toBe(200);
    expect(key.tenant).toBe('acme');
  });

  it('with the right to manage keys does so for its own tenant, and gives no more than it has', async () => {
    const { secret } = await newKey({ tenant: 'acme', rights: ['read', 'admin'] });
    const make = async (body: object) =>
      (await askWith(secret, 'POST', '/api/keys', { name: 'n', ...body })).status;
    expect(await make({ rights: ['read'] })).toBe(201);
    expect(await make({ rights: ['create'] })).toBe(403);
    expect(await make({ rights: ['read'], tenant: 'other' })).toBe(403);
    expect(await make({ rights: ['read'], plan: 'pro' })).toBe(403);
    const { key } = await newKey({ tenant: 'other' });
    expect((await ask(`/api/keys/${key.id}`, { method: 'DELETE' }, secret)).status).toBe(404);
    expect((await ask('/api/keys?tenant=other', {}, secret)).status).toBe(403);
  });

  it.each([
    { name: '' },
    { name: 'n', tenant: '../x' },
    { name: 'n', tenant: 'a/b' },
    { name: 'n', tenant: '.hidden' },
    { name: 'n', rights: [] },
    { name: 'n', rights: ['everything'] },
    { name: 'n', plan: 'a b' },
    { name: 'n', color: 'red' },
  ])('is not made of nonsense: %o', async (body) => {
    const reply = await askWith(API_KEY, 'POST', '/api/keys', body);
    expect(await problemOf(reply)).toMatchObject({ code: 'invalid_body' });
  });

  it('watches and cancels while the database is away, for a quarter of an hour', async () => {
    fakeTime();
    const { secret } = await newKey({ tenant: 'acme' });
    const job = await jobOf(secret);
    const database = { isAway: false };
    const bindings: Env = { ...production, DB: switched(env.DB, database) };
    const status = async (method: string, path: string) =>
      (await ask(`/api/jobs/${job.id}${path}`, { method }, secret, bindings)).status;
    expect(await status('GET', '')).toBe(200);
    database.isAway = true;
    later(14 * MINUTE);
    expect(await status('GET', '')).toBe(200);
    expect(await status('POST', '/cancel')).toBe(200);
    later(2 * MINUTE);
    expect(await status('GET', '')).toBe(503);
  });

  it('that is made up costs the database nothing after some tries from one address', async () => {
    const asked = vi.spyOn(env.DB, 'prepare');
    const headers = { 'cf-connecting-ip': '203.0.113.9' };
    let left = 2;
    const RATE_LOOKUPS: RateLimit = { limit: async () => ({ success: left-- > 0 }) };
    const bindings = { ...production, RATE_LOOKUPS };
    const statuses = [];
    for (let n = 0; n < 4; n += 1) {
      const { status } = await ask('/api/jobs', { headers }, madeUpKey(), bindings);
      statuses.push(status);
    }
    expect(statuses).toEqual([401, 401, 429, 429]);
    expect(asked.mock.calls.filter(([sql]) => sql.includes('export_api_keys'))).toHaveLength(2);
  });

  it('makes keys of its own plan, that end when it does, and no more than a hundred', async () => {
    fakeTime();
    const rights = ['read', 'admin'] as const;
    const expires_at = Date.now() + 60_000;
    const admin = await newKey({ tenant: 'club', plan: 'pro', rights: [...rights], expires_at });
    const make = () => askWith(admin.secret, 'POST', '/api/keys', { name: 'n', rights: ['read'] });
    const { key } = v.parse(KeyReply, await (await make()).json());
    expect(key).toMatchObject({ tenant: 'club', plan: 'pro', expires_at });
    const row = `INSERT INTO export_api_keys (id, tenant, name, hash, rights, plan, created_at)
      VALUES (?, 'club', 'n', '', '["read"]', 'pro', 0)`;
    await env.DB.batch(Array.from({ length: 98 }, (_, n) => env.DB.prepare(row).bind(`k${n}`)));
    expect(await problemOf(await make())).toMatchObject({ code: 'too_many_keys' });
    await ask(`/api/keys/${key.id}`, { method: 'DELETE' }, API_KEY);
    expect((await make()).status).toBe(201);
  });

  it('to create alone is told nothing that it may not read', async () => {
    const { secret } = await newKey({ tenant: 'acme', rights: ['create'] });
    const input = { upload_id: await uploadOf(secret) };
    const made = await askWith(secret, 'POST', '/api/jobs', { input });
    const { job, viewer_token } = v.parse(CreateReply, await made.json());
    expect((await ask(`/api/jobs/${job.id}`, {}, secret)).status).toBe(403);
    expect((await ask(`/api/jobs/${job.id}`, {}, viewer_token)).status).toBe(403);
  });
});

describe('tenants', () => {
  it('do not see each other: a foreign job looks like an unknown one, everywhere', async () => {
    const [acme, rival] = await Promise.all([
      newKey({ tenant: 'north' }),
      newKey({ tenant: 'south' }),
    ]);
    const job = await jobOf(acme.secret);
    const unknown = await ask(`/api/jobs/${job.id}`, {}, rival.secret);
    expect(await problemOf(unknown)).toMatchObject({ code: 'job_not_found', status: 404 });
    const tokens = await askWith(rival.secret, 'POST', `/api/jobs/${job.id}/tokens`, {});
    expect(tokens.status).toBe(404);
    const status = await ask(`/api/jobs/${job.id}/do/status`, {}, rival.secret);
    expect(status.status).toBe(404);
    const listed = await ask('/api/jobs', {}, rival.secret);
    expect(v.parse(ListReply, await listed.json()).data).toEqual([]);
    const own = await ask('/api/jobs', {}, acme.secret);
    expect(v.parse(ListReply, await own.json()).data.map(({ id }) => id)).toEqual([job.id]);
  });

  it('cannot export each other’s uploads, nor meet by an idempotency key', async () => {
    const [acme, rival] = await Promise.all([
      newKey({ tenant: 'acme' }),
      newKey({ tenant: 'rival' }),
    ]);
    const [upload_id, theirs] = await Promise.all([uploadOf(acme.secret), uploadOf(rival.secret)]);
    const stolen = await askWith(rival.secret, 'POST', '/api/jobs', { input: { upload_id } });
    expect(await problemOf(stolen)).toMatchObject({ code: 'input_not_found' });
    const keyed = (token: string, id: string) =>
      ask(
        '/api/jobs',
        {
          method: 'POST',
          headers: { 'content-type': 'application/json', 'idempotency-key': 'same' },
          body: JSON.stringify({ input: { upload_id: id } }),
        },
        token,
      );
    const [one, other] = await Promise.all([
      keyed(acme.secret, upload_id),
      keyed(rival.secret, theirs),
    ]);
    expect([one.status, other.status]).toEqual([201, 201]);
    const ids = await Promise.all(
      [one, other].map(async (reply) => v.parse(CreateReply, await reply.json()).job.id),
    );
    expect(new Set(ids).size).toBe(2);
  });

  it('cannot occupy the id of another’s retry', async () => {
    const [acme, thief] = await Promise.all([
      newKey({ tenant: 'acme' }),
      newKey({ tenant: 'retry' }),
    ]);
    const job = await jobOf(acme.secret);
    await ask(`/api/jobs/${job.id}/cancel`, { method: 'POST' }, acme.secret);
    const input = { upload_id: await uploadOf(thief.secret) };
    const headers = { 'content-type': 'application/json', 'idempotency-key': job.id };
    const body = JSON.stringify({ input });
    const theirs = await ask('/api/jobs', { method: 'POST', headers, body }, thief.secret);
    expect(theirs.status).toBe(201);
    const again = await ask(`/api/jobs/${job.id}/retry`, { method: 'POST' }, acme.secret);
    expect(v.parse(CreateReply, await again.json()).job).toMatchObject({ retry_of: job.id });
  });

  it('hear on their feeds of nobody else’s jobs', async () => {
    const [acme, rival] = await Promise.all([
      newKey({ tenant: 'acme' }),
      newKey({ tenant: 'rival' }),
    ]);
    const heard = await Promise.all([acme, rival].map(({ secret }) => feedOf(secret)));
    const job = await jobOf(acme.secret);
    await until(() => heard[0]?.join().includes(job.id));
    const theirs = await jobOf(rival.secret);
    await until(() => heard[1]?.join().includes(theirs.id));
    expect(heard[1]?.join()).not.toContain(job.id);
    expect(heard[0]?.join()).not.toContain(theirs.id);
  });

  it('are apart in development too, where a viewer may come before the job', async () => {
    const [acme, rival] = await Promise.all([
      newKey({ tenant: 'acme' }),
      newKey({ tenant: 'rival' }),
    ]);
    const job = await jobOf(acme.secret);
    const headers = { authorization: `Bearer ${rival.secret}` };
    const socket = await call(`/api/jobs/${job.id}/ws`, {
      headers: { ...headers, upgrade: 'websocket' },
    });
    expect(socket.status).toBe(404);
    const polled = await call(`/api/jobs/${job.id}?since=0&wait=0`, { headers });
    expect(polled.status).toBe(404);
  });
});
