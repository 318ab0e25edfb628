/** Last labels of names that are never of a public server: special use (RFC 6761), or usual in private networks. */
const PRIVATE_ENDINGS =
  /(^|\.)(local|localhost|localdomain|internal|intranet|lan|home|corp|private|arpa|test|invalid|example|onion)$/;
/** An IPv6 address, or an IPv4 one, in whichever way it was spelled: a URL's host is canonical. */
const ADDRESS = /^\[|^\d+\.\d+\.\d+\.\d+$/;

/**
 * Why an input must not be read from this address, in words for whoever named it; null when it may. What the
 * name leads to is for whoever connects to check.
 * @param exempt hosts, with their port unless it is 443, that may be read from whatever they are.
 */
export function sourceUrlFlaw(address: string, exempt: readonly string[] = []): string | null {
  if (!URL.canParse(address)) return 'is not a URL';
  const { protocol, username, password, host, hostname, port } = new URL(address);
  if (protocol !== 'https:') return 'must begin with https:';
  if (username !== '' || password !== '') return 'must not hold a user name or a password';
  if (exempt.includes(host)) return null;
  if (port !== '') return 'must not name another port than 443';
  const name = hostname.replace(/\.$/, '');
  if (ADDRESS.test(name)) return 'must name a host, not an IP address';
  const labels = name.split('.');
  // Resolvers do not agree on what an empty label means.
  if (labels.length < 2 || labels.includes('') || PRIVATE_ENDINGS.test(name)) {
    return 'must name a public host';
  }
  return null;
}
