import { createScheduledController } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { ListReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import worker from '../src/index.ts';
import type { Env } from '../src/lib/env.ts';
import {
  FakeRenderer,
  ORIGIN,
  later,
  playProvider,
  problemOf,
  ticketOf,
  until,
} from './harness.ts';
import { API_KEY, ask, jobOf, newKey, production, uploadOf } from './production.ts';

playProvider();

const HOUR_MS = 60 * 60_000;
const fakeTime = () => vi.useFakeTimers({ toFake: ['Date'] });

describe('limits of a plan', () => {
  const limited: Env = {
    ...production,
    PLANS: JSON.stringify({
      small: { max_live_jobs: 2, max_jobs_per_day: 3, max_upload_bytes: 9 },
    }),
  };
  const create = async (secret: string, upload_id: string, key: string) =>
    ask(
      '/api/jobs',
      {
        method: 'POST',
        headers: { 'content-type': 'application/json', 'idempotency-key': key },
        body: JSON.stringify({ input: { upload_id } }),
      },
      secret,
      limited,
    );

  it('are kept exactly, also by creations at the same time, and say when to come again', async () => {
    fakeTime();
    const { secret } = await newKey({ tenant: 'little', plan: 'small' });
    const upload_id = await uploadOf(secret);
    const replies = await Promise.all(
      ['a', 'b', 'c', 'd'].map((key) => create(secret, upload_id, key)),
    );
    expect(replies.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([
      201, 201, 429, 429,
    ]);
    const refused = replies.find(({ status }) => status === 429);
    expect(refused?.headers.get('retry-after')).toBe('30');
    expect(await problemOf(refused ?? new Response())).toMatchObject({
      code: 'too_many_jobs',
      retryable: true,
    });
    // A repeat of one that was made is no further job.
    const made = ['a', 'b', 'c', 'd'].filter((_, i) => replies[i]?.status === 201);
    expect((await create(secret, upload_id, made[0] ?? '')).status).toBe(201);
    const ids = await listed(secret);
    await Promise.all(
      ids.map((id) => ask(`/api/jobs/${id}/cancel`, { method: 'POST' }, secret, limited)),
    );
    await until(async () => (await pending(secret)).length === 0);
    // For a moment the refusal is repeated without counting anew.
    expect((await create(secret, upload_id, 'third')).status).toBe(429);
    later(2000);
    expect((await create(secret, upload_id, 'third')).status).toBe(201);
    // Deleting them makes no room in their day.
    for (const id of ids) await ask(`/api/jobs/${id}`, { method: 'DELETE' }, secret, limited);
    later(60_000);
    const fourth = await create(secret, upload_id, 'fourth');
    expect(await problemOf(fourth)).toMatchObject({ code: 'daily_limit' });
    expect(Number(fourth.headers.get('retry-after'))).toBe(24 * 60 * 60 - 62);
    const asked = vi.spyOn(env.DB, 'prepare');
    expect((await create(secret, upload_id, 'fifth')).status).toBe(429);
    expect(asked.mock.calls.join()).not.toContain('count(*)');
  });

  it('hold for uploads', async () => {
    const { secret } = await newKey({ tenant: 'little', plan: 'small' });
    const body = JSON.stringify({ filename: 'a', size: 10 });
    const headers = { 'content-type': 'application/json' };
    const reply = await ask('/api/uploads', { method: 'POST', headers, body }, secret, limited);
    expect(await problemOf(reply)).toMatchObject({ code: 'upload_too_large', status: 413 });
  });

  async function listed(secret: string): Promise<string[]> {
    const reply = await ask('/api/jobs', {}, secret, limited);
    return v.parse(ListReply, await reply.json()).data.map(({ id }) => id);
  }
  async function pending(secret: string): Promise<string[]> {
    const reply = await ask('/api/jobs?status=pending', {}, secret, limited);
    return v.parse(ListReply, await reply.json()).data.map(({ id }) => id);
  }
});

describe('bytes in a day', () => {
  const LIMIT = 100;
  const limited: Env = {
    ...production,
    PLANS: JSON.stringify({
      small: { max_upload_bytes_per_day: LIMIT },
      endless: { max_upload_bytes_per_day: null },
    }),
  };
  const announce = async (secret: string, size: number) =>
    ask(
      '/api/uploads',
      {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ filename: 'a.mp4', size }),
      },
      secret,
      limited,
    );
  const statuses = async (secret: string, sizes: number[]) => {
    const replies = await Promise.all(sizes.map((size) => announce(secret, size)));
    return replies.map(({ status }) => status).toSorted((a, b) => a - b);
  };
  const secretOf = async (tenant: string, plan = 'small') =>
    (await newKey({ tenant, plan })).secret;

  it('are kept exactly, also by uploads at the same time, for each owner alone', async () => {
    const [secret, other] = await Promise.all([secretOf('filler'), secretOf('other-filler')]);
    expect(await statuses(secret, [30, 30, 30, 30, 30])).toEqual([201, 201, 201, 429, 429]);
    expect(await statuses(secret, [11])).toEqual([429]);
    expect(await statuses(secret, [10])).toEqual([201]);
    expect(await statuses(secret, [1])).toEqual([429]);
    expect(await statuses(other, [LIMIT])).toEqual([201]);
  });

  it('are counted over all keys of an owner, and not where a plan has no such limit', async () => {
    await statuses(await secretOf('two-keys'), [LIMIT]);
    expect(await statuses(await secretOf('two-keys'), [1])).toEqual([429]);
    const endless = await secretOf('two-keys', 'endless');
    expect(await statuses(endless, [LIMIT, 1_000_000_000])).toEqual([201, 201]);
  });

  it('say when so many fit again, and that is so', async () => {
    fakeTime();
    vi.setSystemTime(Date.parse('2031-01-01T10:40:00Z'));
    const secret = await secretOf('patient');
    expect(await statuses(secret, [60])).toEqual([201]);
    later(3 * HOUR_MS);
    expect(await statuses(secret, [40])).toEqual([201]);
    const refused = await announce(secret, 70);
    expect(await problemOf(refused.clone())).toMatchObject({
      code: 'upload_limit',
      status: 429,
      retryable: true,
      detail: 'At most 100 bytes.',
    });
    // Both hours must have left the last 24 whole ones: the later of them began at one o'clock.
    const wait = Date.parse('2031-01-02T14:00:00Z') - Date.parse('2031-01-01T13:40:00Z');
    expect(refused.headers.get('retry-after')).toBe(`${wait / 1000}`);
    const sooner = (await announce(secret, 50)).headers.get('retry-after');
    expect(sooner).toBe(`${wait / 1000 - 3 * 60 * 60}`);
    later(Number(sooner) * 1000 - 1);
    expect(await statuses(secret, [50])).toEqual([429]);
    later(1);
    expect(await statuses(secret, [50])).toEqual([201]);
  });

  it('can never be enough for a file that is larger than all of them', async () => {
    const refused = await announce(await secretOf('large'), LIMIT + 1);
    expect(await problemOf(refused)).toMatchObject({
      code: 'upload_too_large',
      detail: 'At most 100 bytes.',
    });
  });

  it('are not counted while D1 is away', async () => {
    const DB = new Proxy(env.DB, {
      get: () => () => {
        throw new Error('D1 is away');
      },
    });
    const announced = await ask(
      '/api/uploads',
      {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ filename: 'a.mp4', size: 5 }),
      },
      API_KEY,
      { ...limited, DB },
    );
    expect(announced.status).toBe(201);
  });

  it('are forgotten by the sweep when they no longer count', async () => {
    await env.DB.exec('DELETE FROM export_upload_bytes');
    fakeTime();
    const secret = await secretOf('forgotten');
    await statuses(secret, [10]);
    const rows = async () =>
      (await env.DB.prepare('SELECT bytes FROM export_upload_bytes').all()).results.length;
    const sweep = () => worker.scheduled(createScheduledController(), env);
    later(24 * HOUR_MS);
    await sweep();
    expect(await rows()).toBe(1);
    later(HOUR_MS);
    await sweep();
    expect(await rows()).toBe(0);
  });
});

describe('development', () => {
  it('serves this machine and its network alone, and says why not', async () => {
    const at = (origin: string) => ask(`${origin}/api/jobs`, {}, null, { ...env });
    expect((await at(ORIGIN)).status).toBe(200);
    expect((await at('http://127.0.0.1:8787')).status).toBe(200);
    expect((await at('http://192.168.1.20:8787')).status).toBe(200);
    for (const origin of ['https://export.example', 'http://evil.test', 'http://10.evil.test']) {
      const { code, detail } = await problemOf(await at(origin));
      expect(code).toBe('not_configured');
      expect(detail).toContain('DEVELOPMENT=1');
      const passedOn = { headers: { 'x-forwarded-for': '203.0.113.1' } };
      expect((await ask('/api/jobs', passedOn, null, { ...env })).status).toBe(503);
      const health = await ask(`${origin}/healthz`, {}, null, { ...env });
      expect(health.status).toBe(503);
    }
  });
});

describe('too many calls', () => {
  it('are refused with a time to come again, and those without credentials much sooner', async () => {
    const counted: string[] = [];
    const limiter = (limit: number): RateLimit => ({
      limit: async ({ key }) => {
        counted.push(key);
        return { success: counted.filter((one) => one === key).length <= limit };
      },
    });
    const bindings = { ...production, RATE_OWNERS: limiter(2), RATE_STRANGERS: limiter(1) };
    const headers = { 'cf-connecting-ip': '203.0.113.7' };
    const asked = async (token: string) => ask('/api/jobs', { headers }, token, bindings);
    expect((await asked(API_KEY)).status).toBe(200);
    expect((await asked(API_KEY)).status).toBe(200);
    const third = await asked(API_KEY);
    expect(third.headers.get('retry-after')).toBe('60');
    expect(await problemOf(third)).toMatchObject({ code: 'rate_limited', status: 429 });
    expect((await asked('wrong')).status).toBe(401);
    expect((await asked('wrong again')).status).toBe(429);
  });

  it('are counted by the platform’s own limiters, which are there in development', async () => {
    const { RATE_OWNERS, RATE_VIEWERS, RATE_RENDERERS, RATE_LOOKUPS, RATE_STRANGERS } = env;
    const all = [RATE_OWNERS, RATE_VIEWERS, RATE_RENDERERS, RATE_LOOKUPS, RATE_STRANGERS];
    const key = crypto.randomUUID();
    const answers = await Promise.all(all.map(async (limiter) => limiter?.limit({ key })));
    expect(answers).toEqual(all.map(() => ({ success: true })));
  });

  it('are counted for each key, job and address, attempt by attempt, and links by address', async () => {
    const { secret, key } = await newKey({ tenant: 'acme' });
    const job = await jobOf(secret);
    const renderer = new FakeRenderer(await ticketOf(job.id));
    const keys: string[] = [];
    const note: RateLimit = {
      limit: async ({ key: of }) => {
        keys.push(of);
        return { success: true };
      },
    };
    const all = { RATE_OWNERS: note, RATE_VIEWERS: note, RATE_RENDERERS: note, RATE_LOOKUPS: note };
    const headers = { 'cf-connecting-ip': '2001:db8:1::7' };
    const asked = (path: string, token: string | null, method = 'GET') =>
      ask(path, { method, headers }, token, { ...production, ...all, RATE_STRANGERS: note });
    await asked(`/api/jobs/${job.id}`, secret);
    expect(keys.splice(0)).toEqual([`acme key ${key.id}`, `${job.id} 2001:db8:1:0`]);
    await asked(`/api/jobs/${job.id}/do/claim`, renderer.ticket.token, 'POST');
    expect(keys.splice(0)).toEqual([`${job.id} 1`]);
    await asked('/api/videos/download/x', null);
    expect(keys.splice(0)).toEqual(['links 2001:db8:1:0', '2001:db8:1:0']);
    await asked('/api/feed', secret);
    expect(keys.splice(0)).toEqual([`acme key ${key.id}`, 'feed acme 2001:db8:1:0']);
  });

  it('cannot be told from too few when the limiter is out of order, and all are let in', async () => {
    const broken: RateLimit = { limit: () => Promise.reject(new Error('out of order')) };
    const bindings = { ...production, RATE_OWNERS: broken };
    expect((await ask('/api/jobs', {}, API_KEY, bindings)).status).toBe(200);
  });

  it('say when to come again to pages of other origins too', async () => {
    const headers = { origin: 'https://app.example' };
    const bindings = { ...production, ALLOWED_ORIGINS: 'https://app.example' };
    const reply = await ask('/api/jobs', { headers }, API_KEY, bindings);
    expect(reply.headers.get('access-control-expose-headers')).toContain('retry-after');
  });
});
