// Makes certificates for the tests' HTTPS servers, so that no key lies about and none expires.
import { generateKeyPairSync, sign } from 'node:crypto';

/** DER: a tag, the length, and what is inside. */
function der(tag: number, ...inside: (Buffer | string)[]): Buffer {
  const body = Buffer.concat(inside.map((part) => Buffer.from(part)));
  const { length } = body;
  const head = length < 128 ? [tag, length] : [tag, 0x82, length >> 8, length & 255];
  return Buffer.concat([Buffer.from(head), body]);
}
const sequence = (...inside: Buffer[]) => der(0x30, ...inside);
const hex = (text: string) => Buffer.from(text, 'hex');

const ECDSA_WITH_SHA256 = sequence(hex('06082a8648ce3d040302'));
const COMMON_NAME = hex('0603550403');
const ALT_NAMES = hex('0603551d11');
const BASIC_CONSTRAINTS = hex('0603551d13');

/** A certificate that signs itself and is good for these names: `{key, cert}` as PEM. */
export function certificateFor(...names: string[]): { key: string; cert: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const name = sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, 'export-jobs tests'))));
  const alternatives = sequence(...names.map((host) => der(0x82, host)));
  const isAuthority = sequence(der(0x01, hex('ff')));
  const extensions = sequence(
    sequence(BASIC_CONSTRAINTS, der(0x04, isAuthority)),
    sequence(ALT_NAMES, der(0x04, alternatives)),
  );
  const toBeSigned = sequence(
    der(0xa0, der(0x02, hex('02'))),
    der(0x02, hex('01')),
    ECDSA_WITH_SHA256,
    name,
    sequence(der(0x17, '200101000000Z'), der(0x18, '21200101000000Z')),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(0xa3, extensions),
  );
  const signature = sign('sha256', toBeSigned, privateKey);
  const cert = sequence(toBeSigned, ECDSA_WITH_SHA256, der(0x03, hex('00'), signature));
  const lines = cert.toString('base64').replaceAll(/.{64}/g, '$&\n');
  return {
    key: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${lines}\n-----END CERTIFICATE-----\n`,
  };
}
