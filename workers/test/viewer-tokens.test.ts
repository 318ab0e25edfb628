import { createHmac, hkdfSync } from 'node:crypto';
import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { FeedTokenReply, JobReply, TokenReply } from '@export-jobs/protocol';
import type { ViewerRight } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { settingsOf } from '../src/lib/env.ts';
import type { SigningKey } from '../src/lib/env.ts';
import { feedObjectOf } from '../src/lib/object.ts';
import {
  FakeRenderer,
  MINUTE,
  Viewer,
  createJob,
  later,
  playProvider,
  post,
  stubOf,
  until,
  urlOf,
} from './harness.ts';
import { API_KEY, ask, askWith, feedOf, jobOf, newKey, production } from './production.ts';

playProvider();

const fakeTime = () => vi.useFakeTimers({ toFake: ['Date'] });

describe('a viewer’s token', () => {
  /** A finished job, and tokens for it. */
  async function finished() {
    const made = await createJob();
    const renderer = await FakeRenderer.claims(made.id);
    await renderer.putOutput('film');
    await renderer.complete('film');
    return made;
  }
  async function tokenFor(id: string, rights: ViewerRight[], ttl_s = 60): Promise<string> {
    const made = await askWith(API_KEY, 'POST', `/api/jobs/${id}/tokens`, { rights, ttl_s });
    return v.parse(TokenReply, await made.json()).viewer_token;
  }
  const socket = (token: string) => ({ 'sec-websocket-protocol': `export.v1, bearer.${token}` });
  const open = async (id: string, token: string) => {
    const response = await ask(`/api/jobs/${id}/ws`, {
      headers: { upgrade: 'websocket', ...socket(token) },
    });
    if (!response.webSocket) throw new Error(await response.text());
    return Viewer.on(response.webSocket);
  };

  it('without the right to download shows no link, by any transport', async () => {
    const job = await finished();
    const [watching, loading] = await Promise.all([
      tokenFor(job.id, ['watch']),
      tokenFor(job.id, ['watch', 'download']),
    ]);
    const got = async (token: string) =>
      v.parse(JobReply, await (await ask(`/api/jobs/${job.id}`, {}, token)).json()).job;
    expect(urlOf(await got(watching))).toBe('');
    expect((await ask(urlOf(await got(loading)))).status).toBe(200);
    const viewer = await open(job.id, watching);
    await viewer.last('complete');
    expect(JSON.stringify(viewer.heard)).not.toContain('token=');
    const stream = await ask(`/api/jobs/${job.id}/stream`, {}, watching);
    expect(await stream.text()).not.toContain('token=');
    const polled = await ask(`/api/jobs/${job.id}?since=0&wait=0`, {}, watching);
    expect(await polled.text()).not.toContain('token=');
  });

  it('hears of the end without the link when it was there before', async () => {
    const job = await createJob();
    const [watching, loading] = [
      await open(job.id, await tokenFor(job.id, ['watch'])),
      await open(job.id, await tokenFor(job.id, ['watch', 'download'])),
    ];
    const renderer = await FakeRenderer.claims(job.id);
    await renderer.putOutput('film');
    await renderer.complete('film');
    await Promise.all([watching.last('complete'), loading.last('complete')]);
    expect(JSON.stringify(watching.heard)).not.toContain('token=');
    expect(JSON.stringify(loading.heard)).toContain('token=');
  });

  it('may cancel when it was given that, and not otherwise', async () => {
    const job = await createJob();
    const path = `/api/jobs/${job.id}/cancel`;
    const cancel = async (token: string) => (await ask(path, { method: 'POST' }, token)).status;
    expect(await cancel(await tokenFor(job.id, ['watch', 'download']))).toBe(403);
    expect(await cancel(await tokenFor(job.id, ['cancel']))).toBe(200);
    expect((await ask(`/api/jobs/${job.id}`, {}, await tokenFor(job.id, ['cancel']))).status).toBe(
      403,
    );
  });

  it('gives no rights that its maker has not', async () => {
    const job = await createJob();
    const { secret } = await newKey({ tenant: 'default', rights: ['read'] });
    const make = (rights: string[]) =>
      askWith(secret, 'POST', `/api/jobs/${job.id}/tokens`, { rights });
    expect((await make(['watch'])).status).toBe(201);
    expect((await make(['cancel'])).status).toBe(403);
    expect((await make(['own'])).status).toBe(422);
  });

  it('that expires while its socket is open ends that with the next news, told to nobody', async () => {
    fakeTime();
    const job = await createJob();
    const viewer = await open(job.id, await tokenFor(job.id, ['watch'], 60));
    await viewer.last('status');
    const told = viewer.heard.length;
    later(60_000);
    await post(`/api/jobs/${job.id}/cancel`, {});
    const closed = await until(() => viewer.closed);
    expect(closed.code).toBe(4401);
    expect(viewer.heard).toHaveLength(told);
  });

  it('of the time before tokens named their rights is good for its day', async () => {
    const job = await createJob();
    const { SIGNING_KEYS } = settingsOf(production);
    const old = oldToken(SIGNING_KEYS, { j: job.id, exp: Date.now() + 60_000 });
    expect((await ask(`/api/jobs/${job.id}`, {}, old)).status).toBe(200);
    expect((await ask(`/api/jobs/${job.id}/cancel`, { method: 'POST' }, old)).status).toBe(403);
  });

  it('of a feed that expires ends its socket with the next news, whomever that is for', async () => {
    fakeTime();
    const { secret } = await newKey({ tenant: 'acme' });
    const made = await askWith(secret, 'POST', '/api/feed/tokens', {});
    const { feed_token } = v.parse(FeedTokenReply, await made.json());
    const heard = await feedOf(feed_token, '?tag=other');
    const told = heard.length;
    later(61 * MINUTE);
    await jobOf((await newKey({ tenant: 'acme' })).secret);
    await until(() => heard.length > told);
    expect(heard.slice(told)).toEqual(['closed 4401']);
  });

  it('of a feed that names a tag shows the jobs of that alone, whatever is asked for', async () => {
    const { secret } = await newKey({ tenant: 'tagged' });
    const tokenWith = (body: unknown) => askWith(secret, 'POST', '/api/feed/tokens', body);
    const { feed_token } = v.parse(FeedTokenReply, await (await tokenWith({ tag: 'ann' })).json());
    const [own, other] = [await jobOf(secret, ['ann']), await jobOf(secret, ['bob'])];
    const heard = await feedOf(feed_token);
    const [ownLate, otherLate] = [await jobOf(secret, ['ann']), await jobOf(secret, ['bob'])];
    await until(() => heard.some((text) => text.includes(ownLate.id)));
    expect(heard.join('\n')).toContain(own.id);
    expect(heard.join('\n')).not.toMatch(new RegExp(`${other.id}|${otherLate.id}`));
    // Of a deletion it hears when the job is of its tag; of others not even the name.
    for (const { id } of [own, other]) {
      await askWith(secret, 'POST', `/api/jobs/${id}/cancel`, {});
      await until(async () => (await ask(`/api/jobs/${id}`, { method: 'DELETE' }, secret)).ok);
    }
    await until(() => heard.some((text) => text.includes('"deleted"')));
    const since = `?since=${Date.now() - MINUTE}`;
    const back = await feedOf(feed_token, since);
    const all = await feedOf(secret, since);
    expect([...heard, ...back].join('\n')).not.toMatch(new RegExp(`${other.id}|${otherLate.id}`));
    expect(all.join('\n')).toContain(other.id);
    const asking = { headers: { upgrade: 'websocket' } };
    expect((await ask('/api/feed?tag=ann', asking, feed_token)).status).toBe(101);
    expect((await ask('/api/feed?tag=bob', asking, feed_token)).status).toBe(403);
    expect((await tokenWith({ tag: 'no tag' })).status).toBe(422);
  });

  it('of a feed that names a tag opens no more than 20 sockets at one object, beside which others find room', async () => {
    const { secret } = await newKey({ tenant: 'crowded' });
    const reply = await askWith(secret, 'POST', '/api/feed/tokens', { tag: 'ann' });
    const { feed_token } = v.parse(FeedTokenReply, await reply.json());
    for (let n = 0; n < 21; n += 1) await feedOf(feed_token);
    const viewersAt = async (shard: number): Promise<number> => {
      const feed = feedObjectOf(env, 'crowded', shard);
      if (!feed) throw new Error('there is no feed');
      return await runInDurableObject(feed, (_, state) => state.getWebSockets().length);
    };
    expect([await viewersAt(0), await viewersAt(1)]).toEqual([20, 1]);
  });

  it('of a feed is made for who sends nothing, in each way to say so', async () => {
    const init = { method: 'POST', headers: { 'content-length': '0' }, body: '' };
    expect((await ask('/api/feed/tokens', init, API_KEY)).status).toBe(201);
    expect((await ask('/api/feed/tokens', { method: 'POST' }, API_KEY)).status).toBe(201);
  });

  it('of a feed that expires while nothing happens is let go when the feed looks after itself', async () => {
    fakeTime();
    const { secret } = await newKey({ tenant: 'quiet' });
    const made = await askWith(secret, 'POST', '/api/feed/tokens', {});
    const { feed_token } = v.parse(FeedTokenReply, await made.json());
    const heard = await feedOf(feed_token);
    later(61 * MINUTE);
    const feed = feedObjectOf(env, 'quiet');
    if (!feed) throw new Error('there is no feed');
    await until(() => runDurableObjectAlarm(feed));
    await until(() => heard.includes('closed 4401'));
  });

  it('leaves nobody at the object when only the head of a stream is asked for', async () => {
    const job = await createJob();
    const path = `/api/jobs/${job.id}/stream`;
    const head = await ask(path, { method: 'HEAD' }, await tokenFor(job.id, ['watch']));
    expect(head.headers.get('content-type')).toContain('text/event-stream');
    expect(await stubOf(job.id).status(null)).toMatchObject({ connections: 0 });
  });
});

/** As they were signed then. */
function oldToken(keys: readonly SigningKey[], payload: { j: string; exp: number }): string {
  const [key] = keys;
  if (!key) throw new Error('no key');
  const body = btoa(JSON.stringify(payload)).replaceAll('=', '');
  const secret = new Uint8Array(hkdfSync('sha256', key.secret, '', 'ej1/view', 32));
  const tag = createHmac('sha256', secret).update(body).digest('base64url');
  return `ej1.${key.kid}.${body}.${tag}`;
}
