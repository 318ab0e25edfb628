import { networkInterfaces } from 'node:os';
import { expect, it } from 'vitest';
import { isPublicAddress } from './public-address.ts';

it.each(
  `1.1.1.1 8.8.8.8 172.15.255.255 172.32.0.1 100.63.255.255 100.128.0.1
   11.0.0.1 169.253.0.1 192.167.0.1 198.17.0.1 198.20.0.1 223.255.255.255
   2606:4700::1111 2a00:1450:4001::1 2003::1 2400:cb00::1`.split(/\s+/),
)('%s is public', (address) => expect(isPublicAddress(address)).toBe(true));

it.each(
  `0.0.0.0 0.1.2.3 10.0.0.1 10.255.255.255 127.0.0.1 127.255.255.254
   100.64.0.1 100.100.100.200 100.127.255.255 169.254.169.254 169.254.170.2
   172.16.0.1 172.31.255.255 192.168.0.1 192.0.0.192 192.0.2.1 192.88.99.1
   198.18.0.1 198.19.255.255 198.51.100.1 203.0.113.1 224.0.0.1 239.1.1.1
   240.0.0.1 255.255.255.255 168.63.129.16
   :: ::1 ::ffff:127.0.0.1 ::ffff:8.8.8.8 ::ffff:a9fe:a9fe ::127.0.0.1
   64:ff9b::a9fe:a9fe 64:ff9b:1::1 100::1 fc00::1 fd00:ec2::254 fe80::1
   fe80::1%eth0 fec0::1 ff02::1 2001::1 2001:db8::1 2002:7f00:1:: 3fff::1
   5f00::1 localhost 2130706433 0x7f.1`.split(/\s+/),
)('%s is not public', (address) => expect(isPublicAddress(address)).toBe(false));

it('what is no address is not public', () => expect(isPublicAddress('')).toBe(false));

it('what this machine itself is called is not public', () => {
  const own = Object.values(networkInterfaces()).flatMap((found) => found ?? []);
  expect(own.length).toBeGreaterThan(0);
  for (const { address } of own) expect(isPublicAddress(address)).toBe(false);
});
