import type { Env } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { Refusal } from '../lib/respond.ts';

// Responsible for how often anyone may call. Cloudflare counts, in each of its places by itself: a shield
// against floods, not an account book. Without a binding nothing is counted.

/** The bindings of `wrangler.jsonc`, whose limits are for the minute that each of them counts. */
type Limiter =
  | 'RATE_OWNERS'
  | 'RATE_VIEWERS'
  | 'RATE_RENDERERS'
  | 'RATE_LOOKUPS'
  | 'RATE_STRANGERS';
const RETRY_AFTER_S = 60;

/** Counts one call of whoever `key` names. @throws Refusal `rate_limited` when there were too many. */
export async function count(env: Env, limiter: Limiter, key: string): Promise<void> {
  if (await isTooMuch(env[limiter], key)) {
    throw new Refusal('rate_limited', {}, { 'retry-after': `${RETRY_AFTER_S}` });
  }
}

/** A limiter that is out of order must not stop those whom it is there for. */
async function isTooMuch(limiter: RateLimit | undefined, key: string): Promise<boolean> {
  try {
    const answer = await limiter?.limit({ key });
    return answer?.success === false;
  } catch (error) {
    logError('rates', { error: String(error) });
    return false;
  }
}

/**
 * Where a caller calls from. Of IPv6 the half that names a network: the other half is its own to choose.
 * Everybody has the same one where nothing says it, as on a laptop.
 */
export function addressOf(request: Request): string {
  const address = request.headers.get('cf-connecting-ip') ?? 'unknown';
  return address.includes(':') ? networkOf(address) : address;
}

function networkOf(address: string): string {
  const [head = '', tail] = address.split('::');
  const before = head.split(':').filter(Boolean);
  const after = tail?.split(':').filter(Boolean) ?? [];
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0');
  return [...before, ...zeros, ...after].slice(0, 4).join(':');
}
