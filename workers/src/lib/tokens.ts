import { createHmac, hkdfSync, timingSafeEqual } from 'node:crypto';
import { VIEWER_RIGHTS } from '@export-jobs/protocol';
import * as v from 'valibot';
import { BoundedCache } from './bounded-cache.ts';
import type { SigningKey } from './env.ts';

// Responsible for everything that is signed here: `ej1.<kid>.<payload>.<tag>`, both parts base64url.
// Each purpose has a key of its own, so that a token of one can never serve another.

const EpochMs = v.pipe(v.number(), v.integer());
const Json = v.pipe(v.string(), v.parseJson());

/** Those that were made before tokens named their rights, and live for a day, have these. */
const ViewerRights = v.optional(v.array(v.picklist(VIEWER_RIGHTS)), ['watch', 'download']);

/** R2's multipart upload `m` to the key `k`, and how many bytes. */
const multipart = { k: v.string(), m: v.string(), s: v.number(), exp: EpochMs };

/** What each kind of token says. `exp` is epoch ms. */
const PAYLOADS = {
  /** One attempt of one job, for its renderer. */
  attempt: v.object({ j: v.string(), t: v.string(), a: v.number(), exp: EpochMs }),
  /** Saying that one attempt of one job has news at the provider. */
  webhook: v.object({ j: v.string(), a: v.number(), exp: EpochMs }),
  /** One job, for whoever was given the token. `r`: what may be done with it. */
  view: v.object({ j: v.string(), r: ViewerRights, exp: EpochMs }),
  /** Watching all jobs of a tenant; `g`: those of one tag alone. */
  feed: v.object({ t: v.string(), g: v.optional(v.string()), exp: EpochMs }),
  /** Downloading one file. */
  download: v.object({ k: v.string(), exp: EpochMs }),
  /** Filling one upload; `m`: as R2's multipart upload of that name. */
  upload: v.object({
    u: v.string(),
    t: v.string(),
    n: v.string(),
    s: v.number(),
    m: v.optional(v.string()),
    exp: EpochMs,
  }),
  /** Filling the output of one owner of one attempt, by parts. */
  output: v.object({ ...multipart, j: v.string(), a: v.number(), e: v.number(), c: v.string() }),
  /** Sending one part, of so many bytes. */
  part: v.object({ ...multipart, n: v.number() }),
} as const;
type Purpose = keyof typeof PAYLOADS;
/** What a token of this purpose says. */
export type Payload<P extends Purpose> = v.InferOutput<(typeof PAYLOADS)[P]>;

/** Signs a payload with the first key. */
export function signToken<P extends Purpose>(
  keys: readonly SigningKey[],
  purpose: P,
  payload: Payload<P>,
): string {
  const [key] = keys;
  if (!key) throw new Error('no signing key');
  const body = toBase64url(JSON.stringify(payload));
  return `ej1.${key.kid}.${body}.${tagOf(key, purpose, body)}`;
}

/** Tokens come with each call, and whether one is ours does not change; whether it has expired does. */
const REMEMBERED = 500;
/** No token that is made here is longer, characters: a longer one is not worth remembering. */
const LONGEST = 2000;

/** Returns what a token says, or null when it is not ours, of another purpose, or has expired. */
export function verifyToken<P extends Purpose>(
  keys: readonly SigningKey[],
  purpose: P,
  token: string,
  now: number,
): Payload<P> | null {
  const payload = readToken(keys, purpose, token);
  return payload && payload.exp > now ? payload : null;
}

function readToken<P extends Purpose>(
  keys: readonly SigningKey[],
  purpose: P,
  token: string,
): Payload<P> | null {
  if (token.length > LONGEST) return null;
  const proven = provenBy(keys).get(`${purpose} ${token}`, () => parseToken(keys, purpose, token));
  const payload = v.safeParse(PAYLOADS[purpose], proven.payload);
  return payload.success ? payload.output : null;
}

const caches = new WeakMap<readonly SigningKey[], BoundedCache<{ payload: unknown }>>();

function provenBy(keys: readonly SigningKey[]): BoundedCache<{ payload: unknown }> {
  const known = caches.get(keys) ?? new BoundedCache<{ payload: unknown }>(REMEMBERED);
  caches.set(keys, known);
  return known;
}

/** What a token says for certain; nothing when it is not ours. */
function parseToken(
  keys: readonly SigningKey[],
  purpose: Purpose,
  token: string,
): { payload: unknown } {
  const [version, kid, body, tag, ...rest] = token.split('.');
  const nothing = { payload: null };
  if (version !== 'ej1' || !kid || !body || !tag || rest.length > 0) return nothing;
  const key = keys.find((candidate) => candidate.kid === kid);
  if (!key || !sameSecret(tag, tagOf(key, purpose, body))) return nothing;
  const payload = v.safeParse(Json, fromBase64url(body));
  return payload.success ? { payload: payload.output } : nothing;
}

const idTags = new BoundedCache<string>(REMEMBERED);

/** A short tag that marks an id as made here, so that guesses die before they wake an object. */
export function idTag(idKey: string, id: string): string {
  const tag = () => createHmac('sha256', idKey).update(id).digest('hex').slice(0, 8);
  return idTags.get(`${idKey} ${id}`, tag);
}

/** Compares two secrets in a time that depends on neither of them. */
export function sameSecret(a: string, b: string): boolean {
  const left = new TextEncoder().encode(a);
  const right = new TextEncoder().encode(b);
  return left.length === right.length && timingSafeEqual(left, right);
}

function tagOf(key: SigningKey, purpose: Purpose, body: string): string {
  return createHmac('sha256', purposeKey(key, purpose)).update(body).digest('base64url');
}

const derived = new WeakMap<SigningKey, Map<string, Uint8Array>>();

function purposeKey(key: SigningKey, purpose: string): Uint8Array {
  const keys = derived.get(key) ?? new Map<string, Uint8Array>();
  derived.set(key, keys);
  const known = keys.get(purpose);
  if (known) return known;
  const made = new Uint8Array(hkdfSync('sha256', key.secret, '', `ej1/${purpose}`, 32));
  keys.set(purpose, made);
  return made;
}

function toBase64url(text: string): string {
  const bytes = new TextEncoder().encode(text);
  const base64 = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(''));
  return base64.replaceAll('+', '-').replaceAll('/', '_').replaceAll('=', '');
}

/** The text, or '' (which no payload is) when it is not base64url. */
function fromBase64url(text: string): string {
  try {
    const binary = atob(text.replaceAll('-', '+').replaceAll('_', '/'));
    return new TextDecoder().decode(Uint8Array.from(binary, (c) => c.charCodeAt(0)));
  } catch {
    return '';
  }
}
