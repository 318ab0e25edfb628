import { BEARER_SUBPROTOCOL } from '@export-jobs/protocol';
import type { Settings } from './env.ts';
import { isJobId } from './ids.ts';
import { Refusal } from './respond.ts';
import { sameSecret, verifyToken } from './tokens.ts';
import type { Renderer } from './types.ts';

// Responsible for who may call. Every function throws a Refusal when the caller may not.

/** The one tenant that there is so far; every row and key is already under a tenant's name. */
const TENANT = 'default';

/** The tenant that an owner's credentials speak for. Development asks for none. */
export function ownerOf(request: Request, settings: Settings): string {
  if (settings.DEVELOPMENT === '1') return TENANT;
  const token = bearerOf(request) ?? bearerOfSocket(request);
  if (!token || !settings.API_KEY || !sameSecret(token, settings.API_KEY)) {
    throw new Refusal('unauthorized');
  }
  return TENANT;
}

/**
 * Who may watch a job: its owner, or the bearer of a viewer's token for it. Returns the tenant that
 * the job must belong to, or null when the token already names the job.
 */
export function viewerOf(request: Request, settings: Settings, jobId: string): string | null {
  const token = bearerOf(request) ?? bearerOfSocket(request);
  const seen = token && verifyToken(settings.SIGNING_KEYS, 'view', token, Date.now());
  if (seen && seen.j === jobId) return null;
  return ownerOf(request, settings);
}

/** The tenant whose feed may be watched: that of an owner, or of a feed's token. */
export function feedOf(request: Request, settings: Settings): string {
  const token = bearerOf(request) ?? bearerOfSocket(request);
  const seen = token && verifyToken(settings.SIGNING_KEYS, 'feed', token, Date.now());
  return seen ? seen.t : ownerOf(request, settings);
}

/** The attempt that a renderer's token proves, or null for a call by hand in development. */
export function rendererOf(request: Request, settings: Settings, jobId: string): Renderer {
  const token = bearerOf(request) ?? bearerOfSocket(request);
  if (token === null && settings.DEVELOPMENT === '1') return null;
  const proven = token && verifyToken(settings.SIGNING_KEYS, 'attempt', token, Date.now());
  if (!proven || proven.j !== jobId) throw new Refusal('unauthorized');
  return { attempt: proven.a };
}

/** Like `rendererOf`, where nobody calls by hand. */
export function attemptOf(
  request: Request,
  settings: Settings,
  jobId: string,
): NonNullable<Renderer> {
  const renderer = rendererOf(request, settings, jobId);
  if (!renderer) throw new Refusal('unauthorized');
  return renderer;
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
  return (
    URL.canParse(origin) && /^(localhost|127\.0\.0\.1|\[::1\])$/.test(new URL(origin).hostname)
  );
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
