// Responsible for everything that is signed: what the server would sign, and what it must not take. Written
// from the description of the tokens, not with the server's own code, so that a change there is noticed.
import { createHmac, generateKeyPairSync, hkdfSync, sign, type KeyObject } from 'node:crypto';
import * as v from 'valibot';

export type Purpose =
  | 'attempt'
  | 'webhook'
  | 'view'
  | 'feed'
  | 'download'
  | 'upload'
  | 'output'
  | 'part';

const HOUR_MS = 60 * 60_000;
export const ISSUER = 'https://login.example/';
export const AUDIENCE = 'export-jobs';
const KID = 'login-1';

/** Signs tokens with the server's keys, and JWTs as its identity provider does. */
export class Forge {
  /** The first of the server's `SIGNING_KEYS`. */
  readonly #kid: string;
  readonly #secret: string;
  readonly #own = generateKeyPairSync('ed25519');
  readonly #foreign = generateKeyPairSync('ed25519');

  constructor(signingKeys: string) {
    const [kid = '', secret = ''] = signingKeys.split(',')[0]?.split(':') ?? [];
    this.#kid = kid;
    this.#secret = secret;
  }

  /** The server's `JWT_ISSUER`. */
  get issuer(): string {
    const jwk = { ...this.#own.publicKey.export({ format: 'jwk' }), kid: KID };
    return JSON.stringify({ issuer: ISSUER, audience: AUDIENCE, jwks: { keys: [jwk] } });
  }

  /** A valid token of an hour, unless the payload or `kid` says otherwise. */
  token(purpose: Purpose, payload: Record<string, unknown>, kid = this.#kid): string {
    const body = base64url({ exp: Date.now() + HOUR_MS, ...payload });
    const key = Buffer.from(hkdfSync('sha256', this.#secret, '', `ej1/${purpose}`, 32));
    const tag = createHmac('sha256', key).update(body).digest('base64url');
    return `ej1.${kid}.${body}.${tag}`;
  }

  /** A JWT for a tenant. `by`: the provider's own key, somebody else's, or none at all. */
  jwt(claims: Record<string, unknown>, by: 'own' | 'foreign' | 'nobody' = 'own'): string {
    const now = Math.floor(Date.now() / 1000);
    const header = { alg: by === 'nobody' ? 'none' : 'EdDSA', kid: KID, typ: 'JWT' };
    const usual = { iss: ISSUER, aud: AUDIENCE, sub: 'somebody', exp: now + 3600 };
    const text = `${base64url(header)}.${base64url({ ...usual, ...claims })}`;
    const keys: Record<string, KeyObject | null> = {
      own: this.#own.privateKey,
      foreign: this.#foreign.privateKey,
      nobody: null,
    };
    const key = keys[by];
    const tag = key ? sign(null, Buffer.from(text), key).toString('base64url') : 'AA';
    return `${text}.${tag}`;
  }
}

/** What a token says, whoever signed it. */
export function payloadOf(token: string): Record<string, unknown> {
  return v.parse(Payload, Buffer.from(token.split('.')[2] ?? '', 'base64url').toString());
}
const Payload = v.pipe(v.string(), v.parseJson(), v.record(v.string(), v.unknown()));

function base64url(value: object): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}
