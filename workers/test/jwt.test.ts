import { TokenReply } from '@export-jobs/protocol';
import { exportJWK, generateKeyPair } from 'jose';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import type { Env } from '../src/lib/env.ts';
import { MINUTE, Viewer, later, playProvider, problemOf, until } from './harness.ts';
import { ask, askWith, foreignKey, jobOf, jwks, jwt, newKey, production } from './production.ts';

playProvider();

describe('a token of the app’s own identity provider', () => {
  const status = async (token: string) => (await ask('/api/jobs', {}, token)).status;

  it('speaks for the tenant that it names', async () => {
    const token = await jwt({ tenant: 'acme' });
    const job = await jobOf(token);
    const { secret } = await newKey({ tenant: 'acme' });
    expect((await ask(`/api/jobs/${job.id}`, {}, secret)).status).toBe(200);
    expect((await ask(`/api/jobs/${job.id}`, {}, await jwt({ tenant: 'rival' }))).status).toBe(404);
  });

  it('may what its scope says, and may never manage keys without that', async () => {
    const token = await jwt({ tenant: 'acme', scope: 'openid export:read' });
    expect(await status(token)).toBe(200);
    expect((await askWith(token, 'POST', '/api/uploads', {})).status).toBe(403);
    expect((await ask('/api/keys', {}, await jwt({ tenant: 'acme' }))).status).toBe(403);
    expect(await status(await jwt({ tenant: 'acme', scope: 'openid' }))).toBe(403);
  });

  it.each([
    ['has expired', jwt({ tenant: 'acme' }, { expires: '-1m' })],
    ['somebody else signed', jwt({ tenant: 'acme' }, { by: foreignKey })],
    ['another issuer made', jwt({ tenant: 'acme' }, { issuer: 'https://evil.example/' })],
    ['is for somebody else', jwt({ tenant: 'acme' }, { audience: 'billing' })],
    ['names no tenant', jwt({})],
    ['names a path', jwt({ tenant: '../default' })],
    ['is not signed', Promise.resolve(unsigned({ tenant: 'acme' }))],
  ])('opens nothing when it %s', async (_, token) => {
    expect(await status(await token)).toBe(401);
  });

  function unsigned(claims: object): string {
    const part = (value: object) => btoa(JSON.stringify(value)).replaceAll('=', '');
    const body = { ...claims, iss: 'https://login.example/', aud: 'export-jobs', exp: 9e9 };
    return `${part({ alg: 'none' })}.${part(body)}.x`;
  }

  it('cannot be judged while its issuer’s keys are out of reach, which is said', async () => {
    const reply = await ask('/api/jobs', {}, await jwt({ tenant: 'acme' }), remote());
    expect(await problemOf(reply)).toMatchObject({ code: 'issuer_unavailable', retryable: true });
  });

  it.each([
    [['export:read'], 403],
    [[], 403],
    [7, 403],
    [null, 403],
  ])('may no more than a scope of another form says: %j', async (scope, status) => {
    const reply = await askWith(await jwt({ tenant: 'acme', scope }), 'POST', '/api/uploads', {});
    expect(reply.status).toBe(status);
  });

  it('ends what is made with it: tokens, and sockets', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const token = await jwt({ tenant: 'acme' }, { expires: '5m' });
    const job = await jobOf(token);
    const made = await askWith(token, 'POST', `/api/jobs/${job.id}/tokens`, { ttl_s: 3600 });
    const { expires_at } = v.parse(TokenReply, await made.json());
    expect(expires_at).toBeLessThanOrEqual(Date.now() + 5 * MINUTE);
    const headers = { upgrade: 'websocket' };
    const { webSocket } = await ask(`/api/jobs/${job.id}/ws`, { headers }, token);
    if (!webSocket) throw new Error('no socket');
    const viewer = Viewer.on(webSocket);
    await viewer.last('status');
    later(6 * MINUTE);
    await ask(
      `/api/jobs/${job.id}/cancel`,
      { method: 'POST' },
      (await newKey({ tenant: 'acme' })).secret,
    );
    expect((await until(() => viewer.closed)).code).toBe(4401);
  });

  it('is judged by keys that are fetched, kept, and fetched again when an unknown one signs', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const served = { keys: [...jwks.keys] };
    let fetched = 0;
    vi.spyOn(globalThis, 'fetch').mockImplementation(async () => {
      fetched += 1;
      return Response.json(served);
    });
    const bindings = remote();
    const status = async (token: string) => (await ask('/api/jobs', {}, token, bindings)).status;
    const token = await jwt({ tenant: 'acme' }, { expires: '1h' });
    expect([await status(token), await status(token)]).toEqual([200, 200]);
    expect(fetched).toBe(1);
    const next = await generateKeyPair('EdDSA', { extractable: true });
    const rotated = await jwt({ tenant: 'acme' }, { by: next.privateKey, kid: 'login-2' });
    expect(await status(rotated)).toBe(401);
    served.keys.push({ ...(await exportJWK(next.publicKey)), kid: 'login-2' });
    later(31_000);
    expect(await status(rotated)).toBe(200);
    expect(await status(token)).toBe(200);
  });

  it('does not have its issuer asked again at once when that is away', async () => {
    const asked = vi.spyOn(globalThis, 'fetch').mockRejectedValue(new Error('away'));
    const bindings = remote();
    for (let n = 0; n < 3; n += 1) {
      const reply = await ask('/api/jobs', {}, await jwt({ tenant: 'acme' }), bindings);
      expect(reply.status).toBe(503);
    }
    expect(asked).toHaveBeenCalledTimes(1);
  });

  /** With an issuer whose keys must be fetched. */
  function remote(): Env {
    const issuer = {
      issuer: 'https://login.example/',
      audience: 'export-jobs',
      jwks: 'https://login.example/jwks',
    };
    return { ...production, JWT_ISSUER: JSON.stringify(issuer) };
  }
});
