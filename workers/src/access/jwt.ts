import { OWNER_RIGHTS, PlanName, Tenant, USUAL_RIGHTS } from '@export-jobs/protocol';
import type { OwnerRight } from '@export-jobs/protocol';
import { createLocalJWKSet, createRemoteJWKSet, errors, jwtVerify } from 'jose';
import type { JWTPayload, JWTVerifyGetKey } from 'jose';
import * as v from 'valibot';
import type { JwtIssuer } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { Refusal } from '../lib/respond.ts';
import type { Call, Owner } from './callers.ts';
import { addressOf, count } from './rates.ts';

// Responsible for tokens of the app's own identity provider. They are signed with keys that we do not have:
// only algorithms with a public key are taken, whatever the token says of itself.

const ALGORITHMS = ['EdDSA', 'ES256', 'ES384', 'RS256', 'RS384', 'RS512', 'PS256', 'PS384'];
/** Clocks differ by this much, seconds. */
const LEEWAY_S = 30;
const SCOPE = /^export:(\w+)$/;
const Plan = v.optional(PlanName, 'default');

/** Whether a text has the form of a JWT; such a text is nothing else here. */
export const looksLikeJwt = (text: string): boolean => /^[\w-]+\.[\w-]+\.[\w-]+$/.test(text);

interface Keys {
  readonly find: JWTVerifyGetKey;
  /** Whether they must be fetched first. */
  readonly isMissing: () => boolean;
  /** They could not be had just now: not asked for again until then, epoch ms. */
  deadUntil: number;
}
const DEAD_MS = 5000;
const keySets = new WeakMap<JwtIssuer, Keys>();

function keysOf(issuer: JwtIssuer): Keys {
  const known = keySets.get(issuer);
  if (known) return known;
  const made = { ...readerOf(issuer), deadUntil: 0 };
  keySets.set(issuer, made);
  return made;
}

function readerOf({ jwks }: JwtIssuer): Pick<Keys, 'find' | 'isMissing'> {
  if (typeof jwks !== 'string') return { find: createLocalJWKSet(jwks), isMissing: () => false };
  const find = createRemoteJWKSet(new URL(jwks));
  return { find, isMissing: () => !find.fresh };
}

/**
 * The owner that a token of the issuer speaks for, or null when it is not valid now.
 * @throws Refusal `issuer_unavailable` when the issuer's keys cannot be had.
 */
export async function ownerOfJwt(
  { env, request }: Call,
  issuer: JwtIssuer,
  token: string,
): Promise<Owner | null> {
  const keys = keysOf(issuer);
  if (keys.isMissing()) await count(env, 'RATE_LOOKUPS', addressOf(request));
  if (Date.now() < keys.deadUntil) throw new Refusal('issuer_unavailable');
  try {
    const { payload } = await jwtVerify(token, keys.find, {
      issuer: issuer.issuer,
      audience: issuer.audience,
      algorithms: ALGORITHMS,
      clockTolerance: LEEWAY_S,
      requiredClaims: ['exp'],
    });
    return ownerOfClaims(issuer, payload);
  } catch (error) {
    if (isVerdict(error)) return null;
    logError('jwks', { error: String(error) });
    keys.deadUntil = Date.now() + DEAD_MS;
    throw new Refusal('issuer_unavailable');
  }
}

/** Whether it is the token that is wrong, and not that its keys could not be read. */
function isVerdict(error: unknown): boolean {
  return (
    error instanceof errors.JOSEError &&
    !(error instanceof errors.JWKSTimeout) &&
    !(error instanceof errors.JWKSInvalid) &&
    error.code !== 'ERR_JOSE_GENERIC'
  );
}

function ownerOfClaims(issuer: JwtIssuer, claims: JWTPayload): Owner | null {
  const tenant = v.safeParse(Tenant, claims[issuer.tenant_claim]);
  const plan = v.safeParse(Plan, claims['plan']);
  if (!tenant.success || !plan.success) return null;
  const name = `jwt ${claims.sub ?? ''}`;
  const until = (claims.exp ?? 0) * 1000;
  const rights = rightsOf('scope' in claims ? claims['scope'] : claims['scp']);
  return { tenant: tenant.output, rights, plan: plan.output, name, until };
}

/** Of a list of scopes, or a text with spaces, what begins with `export:`. */
function rightsOf(scope: unknown): readonly OwnerRight[] {
  if (scope === undefined) return USUAL_RIGHTS;
  const all: unknown[] = typeof scope === 'string' ? scope.split(' ') : [scope].flat();
  const named = all.map((one) => SCOPE.exec(String(one))?.[1]);
  return OWNER_RIGHTS.filter((right) => named.includes(right));
}
