// Responsible for asking servers that a stranger named, and no machine that only we can reach. Must not know
// what is asked for.
import type { LookupAddress } from 'node:dns';
import { lookup } from 'node:dns/promises';
import type { IncomingMessage } from 'node:http';
import { request } from 'node:https';
import type { LookupFunction } from 'node:net';
import { sourceUrlFlaw } from '@export-jobs/protocol';
import { RenderFailure } from '../failure.ts';
import { isPublicAddress } from './public-address.ts';

/** What may be asked. Tests bring their own names, ports and addresses. */
export interface Guard {
  /** Hosts (`name` or `name:port`) that may be asked wherever they are. */
  readonly exempt: readonly string[];
  readonly flawOf?: typeof sourceUrlFlaw;
  readonly resolve?: (name: string) => Promise<LookupAddress[]>;
  readonly isPublic?: (address: string) => boolean;
}

const MAX_REDIRECTS = 3;

/**
 * GETs an address of the public internet, and follows up to three redirects, each checked like the first. It
 * sends nothing that anybody could be known by. A name is resolved once for each connection, which is made to
 * the very addresses that were checked.
 * @returns the answer, which is no redirect; its body is to be read or destroyed.
 * @throws RenderFailure `source_refused` or `source_unavailable`; what Node throws when there is no answer; or
 *   the signal's reason.
 */
export async function guardedGet(
  address: string,
  headers: Readonly<Record<string, string>>,
  guard: Guard,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const { exempt, flawOf = sourceUrlFlaw } = guard;
  let url = address;
  for (let redirects = 0; redirects <= MAX_REDIRECTS; redirects += 1) {
    const flaw = flawOf(url, exempt);
    if (flaw !== null) throw refused(`the address ${flaw}`);
    const response = await get(new URL(url), headers, guard, signal);
    const target = redirectOf(response);
    if (target === undefined) return response;
    response.destroy();
    url = URL.parse(target, url)?.href ?? '';
  }
  throw new RenderFailure('source_unavailable', 'the source redirects too often');
}

async function get(
  url: URL,
  headers: Readonly<Record<string, string>>,
  guard: Guard,
  signal: AbortSignal,
): Promise<IncomingMessage> {
  const lookup = guard.exempt.includes(url.host) ? undefined : await pinned(url.hostname, guard);
  return await new Promise((resolve, reject) => {
    const call = request(url, {
      headers: { accept: '*/*', 'accept-encoding': 'identity', ...headers },
      // A connection of its own: none that was made for another name, by other rules, or through a proxy.
      agent: false,
      signal,
      lookup,
    });
    // Stays for errors after the answer, which its reader hears of too.
    call.on('error', reject).once('response', resolve).end();
  });
}

function redirectOf({ statusCode = 0, headers }: IncomingMessage): string | undefined {
  return [301, 302, 303, 307, 308].includes(statusCode) ? (headers.location ?? '') : undefined;
}

/** Resolves a name, for a connection that is made to no address but its public ones. */
async function pinned(
  name: string,
  { resolve = everyAddress, isPublic = isPublicAddress }: Guard,
): Promise<LookupFunction> {
  const [first, ...more] = (await resolve(name)).filter(({ address }) => isPublic(address));
  if (!first) throw refused('its name leads to no public address');
  return (_, { all }, callback) => {
    if (all) callback(null, [first, ...more]);
    else callback(null, first.address, first.family);
  };
}

async function everyAddress(name: string): Promise<LookupAddress[]> {
  return await lookup(name, { all: true });
}

/** To its owner every refusal looks alike, so that nobody learns by it what is where in our network. */
function refused(why: string): RenderFailure {
  return new RenderFailure('source_refused', why);
}
