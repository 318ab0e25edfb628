import { createExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { CreateReply, KeyReply, UploadReply } from '@export-jobs/protocol';
import type { ExportJob, KeyRequest } from '@export-jobs/protocol';
import { SignJWT, exportJWK, generateKeyPair } from 'jose';
import type { JWK } from 'jose';
import * as v from 'valibot';
import { settingsOf } from '../src/lib/env.ts';
import type { Env } from '../src/lib/env.ts';
import { signToken } from '../src/lib/tokens.ts';
import { app } from '../src/routes/app.ts';
import { ORIGIN, until } from './harness.ts';

// The Worker as it is deployed: credentials are asked for. With credentials of every kind.

export const API_KEY = 'k'.repeat(40);
const ISSUER = 'https://login.example/';
const AUDIENCE = 'export-jobs';
const { publicKey, privateKey } = await generateKeyPair('EdDSA', { extractable: true });
const { privateKey: foreignKey } = await generateKeyPair('EdDSA');
export const jwks: { keys: JWK[] } = {
  keys: [{ ...(await exportJWK(publicKey)), kid: 'login-1' }],
};

const { DEVELOPMENT: _, ...rest } = env;
export const production: Env = {
  ...rest,
  API_KEY,
  JWT_ISSUER: JSON.stringify({ issuer: ISSUER, audience: AUDIENCE, jwks }),
};
const { SIGNING_KEYS } = settingsOf(production);

const ADDRESS = 'cf-connecting-ip';

/** One request to it, with a bearer's token unless that is null. */
export function ask(
  path: string,
  init: RequestInit = {},
  token: string | null = null,
  bindings: Env = production,
): Promise<Response> {
  const headers = new Headers(init.headers);
  // Each from an address of its own: who tries too much is shut out.
  if (!headers.has(ADDRESS)) headers.set(ADDRESS, crypto.randomUUID());
  if (token !== null) headers.set('authorization', `Bearer ${token}`);
  const request = new Request(new URL(path, ORIGIN), { ...init, headers });
  return Promise.resolve(app.fetch(request, bindings, createExecutionContext()));
}

export function askWith(token: string, method: string, path: string, body: unknown) {
  const headers = { 'content-type': 'application/json' };
  return ask(path, { method, headers, body: JSON.stringify(body) }, token);
}

/** A new API key, made by the operator. */
export async function newKey(more: Partial<KeyRequest> = {}): Promise<KeyReply> {
  const made = await askWith(API_KEY, 'POST', '/api/keys', { name: 'test', ...more });
  return v.parse(KeyReply, await made.json());
}

/** An upload of a tenant, made with its key. */
export async function uploadOf(token: string): Promise<string> {
  const made = await askWith(token, 'POST', '/api/uploads', { filename: 'a.mov', size: 5 });
  const { upload_id, url } = v.parse(UploadReply, await made.json());
  await ask(url, { method: 'PUT', body: 'bytes', headers: { 'content-length': '5' } });
  return upload_id;
}

/** A job of a tenant, made with its key. */
export async function jobOf(token: string, tags: string[] = []): Promise<ExportJob> {
  const input = { upload_id: await uploadOf(token) };
  const reply = await askWith(token, 'POST', '/api/jobs', { input, tags });
  return v.parse(CreateReply, await reply.json()).job;
}

/** A token of the app's own identity provider. */
export function jwt(
  claims: Record<string, unknown>,
  { expires = '5m', by = privateKey, kid = 'login-1', issuer = ISSUER, audience = AUDIENCE } = {},
): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'EdDSA', kid })
    .setIssuer(issuer)
    .setAudience(audience)
    .setSubject('somebody')
    .setExpirationTime(expires)
    .sign(by);
}
export { foreignKey };

/** All that is said on a feed, from now on. */
export async function feedOf(token: string, query = ''): Promise<string[]> {
  const { webSocket } = await ask(
    `/api/feed${query}`,
    { headers: { upgrade: 'websocket' } },
    token,
  );
  if (!webSocket) throw new Error('no feed');
  const heard: string[] = [];
  webSocket.addEventListener('message', ({ data }) => heard.push(String(data)));
  webSocket.addEventListener('close', ({ code }) => heard.push(`closed ${code}`));
  webSocket.accept();
  await until(() => heard.some((text) => text.includes('"ready"')));
  return heard;
}

/** A token of ours. */
export const signed = (...[purpose, payload]: TokenOf): string =>
  signToken(SIGNING_KEYS, purpose, payload);
type TokenOf = Parameters<typeof signToken> extends [unknown, ...infer R] ? R : never;

/** The same token with one bit changed in what proves it. */
export function tampered(token: string): string {
  const last = token.at(-2) === 'A' ? 'B' : 'A';
  return `${token.slice(0, -2)}${last}${token.at(-1)}`;
}
