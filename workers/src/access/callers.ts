import { BEARER_SUBPROTOCOL, OWNER_RIGHTS } from '@export-jobs/protocol';
import type { OwnerRight, ViewerRight } from '@export-jobs/protocol';
import type { Env, Settings } from '../lib/env.ts';
import { isJobId } from '../lib/ids.ts';
import { Refusal } from '../lib/respond.ts';
import { sameSecret, verifyToken } from '../lib/tokens.ts';
import type { Payload } from '../lib/tokens.ts';
import type { Renderer } from '../lib/types.ts';
import { looksLikeJwt, ownerOfJwt } from './jwt.ts';
import { keyOf, looksLikeKey } from './keys.ts';

// Responsible for who calls. Every function throws a Refusal when nobody does who may.

/** Whose jobs the operator's own key, and development, works on. */
export const HOME = 'default';

/** Somebody who speaks for a tenant: its backend, by a key or by a token of the app's own issuer. */
export interface Owner {
  readonly tenant: string;
  readonly rights: readonly OwnerRight[];
  /** Which limits it has. */
  readonly plan: string;
  /** Which of its credentials that was, as calls are counted. */
  readonly name: string;
  /** When that ends, epoch ms; null for one that does not. What is made with it ends by then too. */
  readonly until: number | null;
  /** The operator's own key may manage the keys of any tenant. */
  readonly isOperator?: true;
}

/** Somebody who may see one job. */
export interface Viewer {
  readonly id: string;
  /** The tenant that the job must belong to; null when the token names the job itself. */
  readonly tenant: string | null;
  readonly rights: readonly ViewerRight[];
  /** Until when a socket may see, epoch ms; null for always. */
  readonly until: number | null;
  /** The owner, when it is that. */
  readonly owner: Owner | null;
}

/** Somebody who may see all jobs of a tenant, or those of a tag. */
export interface FeedViewer {
  readonly tenant: string;
  /** Null for all. */
  readonly tag: string | null;
  readonly until: number | null;
  readonly owner: Owner | null;
}

/** A call, with what it takes to find out who makes it. */
export interface Call {
  readonly request: Request;
  readonly env: Env;
  readonly settings: Settings;
  /** Does what need not be waited for. */
  readonly later: (work: Promise<unknown>) => void;
}

const OPERATOR: Owner = {
  tenant: HOME,
  rights: OWNER_RIGHTS,
  plan: 'default',
  name: 'operator',
  until: null,
  isOperator: true,
};
/** A socket of an owner ends by then, so that a revoked key does not watch for ever, ms. */
const SOCKET_MS = 60 * 60_000;

/** The earlier of two times, where null is never. */
export function sooner(one: number, other: number | null): number;
export function sooner(one: number | null, other: number | null): number | null;
export function sooner(one: number | null, other: number | null): number | null {
  return one === null || other === null ? (one ?? other) : Math.min(one, other);
}

/** The right of an owner that covers one of a viewer. */
const COVERED_BY = { watch: 'read', download: 'read', cancel: 'cancel' } as const;

/** Who an owner's credentials are of. Development asks for none, and looks at those that are a key's. */
export async function ownerOf(call: Call): Promise<Owner> {
  const { request, settings } = call;
  const token = tokenOf(request);
  const owner = token === null ? null : await ownerOfToken(token, call);
  if (owner) return owner;
  const isChecked =
    token !== null && (looksLikeKey(token) || (!!settings.JWT_ISSUER && looksLikeJwt(token)));
  if (settings.DEVELOPMENT === '1' && !isChecked) return OPERATOR;
  throw new Refusal('unauthorized');
}

async function ownerOfToken(token: string, call: Call): Promise<Owner | null> {
  const { API_KEY, JWT_ISSUER: issuer } = call.settings;
  if (API_KEY && sameSecret(token, API_KEY)) return OPERATOR;
  if (looksLikeKey(token)) {
    const key = await keyOf(call, token, Date.now());
    return key && { ...key, name: `key ${key.id}`, until: key.expires_at };
  }
  return issuer && looksLikeJwt(token) ? ownerOfJwt(call, issuer, token) : null;
}

/** Until when a socket of an owner may see; the operator's own key is not revoked but replaced. */
function socketUntil({ isOperator, until }: Owner): number | null {
  return isOperator ? null : sooner(Date.now() + SOCKET_MS, until);
}

/** Who looks at a job: its owner, or the bearer of a token for it. */
export async function viewerOf(call: Call, id: string): Promise<Viewer> {
  const token = tokenOf(call.request);
  const seen = token && verifyToken(call.settings.SIGNING_KEYS, 'view', token, Date.now());
  if (seen && seen.j === id) {
    return { id, tenant: null, rights: seen.r, until: seen.exp, owner: null };
  }
  const owner = await ownerOf(call);
  const rights = viewerRights(owner.rights);
  return { id, tenant: owner.tenant, rights, until: socketUntil(owner), owner };
}

/** What an owner with these rights may do with each of its jobs, and let others do. */
export function viewerRights(rights: readonly OwnerRight[]): ViewerRight[] {
  return (['watch', 'download', 'cancel'] as const).filter((right) =>
    rights.includes(COVERED_BY[right]),
  );
}

/** Whose feed may be watched: that of an owner, or of a feed's token. */
export async function feedOf(call: Call): Promise<FeedViewer> {
  const token = tokenOf(call.request);
  const seen = token && verifyToken(call.settings.SIGNING_KEYS, 'feed', token, Date.now());
  if (seen) return { tenant: seen.t, tag: seen.g ?? null, until: seen.exp, owner: null };
  const owner = await ownerOf(call);
  if (!owner.rights.includes('read')) throw new Refusal('forbidden');
  return { tenant: owner.tenant, tag: null, until: socketUntil(owner), owner };
}

/** The attempt that a renderer's token proves, or null for a call by hand in development. */
export function rendererOf(request: Request, settings: Settings, jobId: string): Renderer {
  const token = tokenOf(request);
  if (token === null && settings.DEVELOPMENT === '1') return null;
  const proven = token && verifyToken(settings.SIGNING_KEYS, 'attempt', token, Date.now());
  if (!proven || proven.j !== jobId) throw new Refusal('unauthorized');
  return { attempt: proven.a };
}

/** The upload that a token lets its bearer fill. */
export function uploadOf(request: Request, settings: Settings, id: string): Payload<'upload'> {
  const token = bearerOf(request);
  const upload = token && verifyToken(settings.SIGNING_KEYS, 'upload', token, Date.now());
  if (!upload || upload.u !== id) throw new Refusal('unauthorized');
  return upload;
}

/** Lets an id through that can be a job's, and answers any other like an unknown one. */
export function checkJobId(settings: Settings, id: string): string {
  if (!isJobId(settings.ID_KEY, id, settings.DEVELOPMENT === '1')) {
    throw new Refusal('job_not_found');
  }
  return id;
}

/** Keeps pages of other sites from opening sockets with a visitor's address. */
export function checkOrigin(request: Request, settings: Settings): void {
  const origin = request.headers.get('origin');
  if (origin !== null && !isAllowedOrigin(origin, request.url, settings)) {
    throw new Refusal('origin_not_allowed');
  }
}

/** Whether a page of this origin may call: our own, a configured one, or this laptop's in development. */
export function isAllowedOrigin(origin: string, requestUrl: string, settings: Settings): boolean {
  if (origin === new URL(requestUrl).origin || settings.ALLOWED_ORIGINS.includes(origin))
    return true;
  if (settings.DEVELOPMENT !== '1') return false;
  return URL.canParse(origin) && LOOPBACK.test(new URL(origin).hostname);
}

const LOOPBACK = /^(localhost|127(\.\d+){3}|\[::1\])$/;
const PRIVATE = /^(10\.\d+|192\.168|172\.(1[6-9]|2\d|3[01]))(\.\d+){2}$/;

/**
 * Whether a host is this very machine or in its own network, as a laptop's in development. A page that has
 * its own name point here, to get round the browser's rules, is not.
 */
export const isNearby = (hostname: string): boolean =>
  LOOPBACK.test(hostname) || PRIVATE.test(hostname);

function tokenOf(request: Request): string | null {
  return bearerOf(request) ?? bearerOfSocket(request);
}

function bearerOf(request: Request): string | null {
  const [scheme, token, ...rest] = request.headers.get('authorization')?.split(' ') ?? [];
  return scheme?.toLowerCase() === 'bearer' && token && rest.length === 0 ? token : null;
}

function bearerOfSocket(request: Request): string | null {
  const offered = request.headers.get('sec-websocket-protocol')?.split(',') ?? [];
  const found = offered.map((p) => p.trim()).find((p) => p.startsWith(BEARER_SUBPROTOCOL));
  return found?.slice(BEARER_SUBPROTOCOL.length) ?? null;
}
