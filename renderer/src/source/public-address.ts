import { BlockList, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';

// IANA's special-purpose registries, and what is public by its number alone.
const IPV4 = [
  '0.0.0.0/8', // this network
  '10.0.0.0/8',
  '100.64.0.0/10', // shared by a carrier's customers
  '127.0.0.0/8',
  '168.63.129.16/32', // Azure's own, on every machine there
  '169.254.0.0/16', // link-local, and the metadata of most clouds
  '172.16.0.0/12',
  '192.0.0.0/24',
  '192.0.2.0/24', // documentation
  '192.31.196.0/24',
  '192.52.193.0/24',
  '192.88.99.0/24', // 6to4 relays
  '192.168.0.0/16',
  '192.175.48.0/24',
  '198.18.0.0/15', // benchmarks
  '198.51.100.0/24', // documentation
  '203.0.113.0/24', // documentation
  '224.0.0.0/4', // multicast
  '240.0.0.0/4', // reserved, and broadcast
];
// Within the global 2000::/3.
const IPV6 = [
  '2001::/23', // protocols, Teredo among them
  '2001:db8::/32', // documentation
  '2002::/16', // 6to4: an IPv4 address in disguise
  '3fff::/20', // documentation
];

const special = listOf(IPV4, 'ipv4');
for (const subnet of IPV6) add(special, subnet, 'ipv6');
// Everything else of IPv6 is not global: loopback, mapped IPv4, NAT64, unique local, link-local, multicast.
const global = listOf(['2000::/3'], 'ipv6');

/** Whether an IP address is of the public internet, and of no machine that this one is. */
export function isPublicAddress(address: string): boolean {
  switch (isIP(address)) {
    case 4:
      return !special.check(address, 'ipv4') && !isOwn(address);
    case 6:
      return global.check(address, 'ipv6') && !special.check(address, 'ipv6') && !isOwn(address);
    default:
      return false;
  }
}

/** What this machine offers on its public address may be meant for itself alone. */
function isOwn(address: string): boolean {
  const own = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return own.some((known) => known.address === address);
}

function listOf(subnets: readonly string[], family: 'ipv4' | 'ipv6'): BlockList {
  const list = new BlockList();
  for (const subnet of subnets) add(list, subnet, family);
  return list;
}

function add(list: BlockList, subnet: string, family: 'ipv4' | 'ipv6'): void {
  const [network = '', prefix] = subnet.split('/');
  list.addSubnet(network, Number(prefix), family);
}
