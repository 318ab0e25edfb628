import { sourceUrlFlaw } from '@export-jobs/protocol';
import type { Settings } from './env.ts';
import { Refusal } from './respond.ts';

/**
 * The address of an input on another server, in the one spelling that everybody reads alike. It is not asked
 * for anything here: the renderer that reads it checks where it leads to.
 * @throws Refusal `input_url_refused`.
 */
export function inputUrl(
  address: string,
  { PUBLIC_URL, SOURCE_HOSTS }: Pick<Settings, 'PUBLIC_URL' | 'SOURCE_HOSTS'>,
): string {
  const flaw = sourceUrlFlaw(address, SOURCE_HOSTS);
  if (flaw !== null) throw new Refusal('input_url_refused', { detail: `/input/url: ${flaw}` });
  const { hostname, href } = new URL(address);
  if (hostname.replace(/\.$/, '') === new URL(PUBLIC_URL).hostname) {
    throw new Refusal('input_url_refused', { detail: '/input/url: must not name this server' });
  }
  return href;
}

/** What a file at an address is called: as its path ends, if that looks like a file, for it may be a secret. */
export function nameAt(address: string): string {
  const last = new URL(address).pathname.split('/').at(-1) ?? '';
  return /^[\w .()+-]{1,200}\.[a-z0-9]{2,5}$/i.exec(decoded(last))?.[0] ?? 'video';
}

function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}
