// Responsible for addresses on other servers from which no input may be read.
import { BODIES, SOURCE_URL, withField } from './bodies.ts';
import { pickCall, type Generator, type Scene } from './calls.ts';
import { refusal } from './input.ts';
import { draftOf, requestInput, short } from './request.ts';

/** This machine, networks of nobody's, and those of others: none may be named by its number. */
const ADDRESSES = [
  [127, 0, 0, 1],
  [10, 1, 2, 3],
  [172, 16, 0, 1],
  [192, 168, 1, 1],
  [169, 254, 169, 254],
  [100, 64, 0, 1],
  [0, 0, 0, 0],
  [255, 255, 255, 255],
  [224, 0, 0, 1],
  [8, 8, 8, 8],
] as const;
type Address = (typeof ADDRESSES)[number];

const numberOf = ([a, b, c, d]: Address): number => ((a * 256 + b) * 256 + c) * 256 + d;
const hex = (value: number): string => value.toString(16);
/** With each digit, and each dot, as another character that stands for it. */
const spelled = (text: string, zero: number, dot: string): string =>
  text
    .replaceAll('.', dot)
    .replaceAll(/\d/g, (digit) => String.fromCodePoint(zero + Number(digit)));

/** Every way in which an address can be written in a URL. */
const SPELLINGS: readonly ((address: Address) => string)[] = [
  (address) => address.join('.'),
  (address) => `${address.join('.')}.`,
  (address) => `${address.join('.')}..`,
  (address) => `${numberOf(address)}`,
  (address) => `0x${hex(numberOf(address))}`,
  (address) => `0X${hex(numberOf(address)).toUpperCase()}.`,
  (address) => `0${numberOf(address).toString(8)}`,
  (address) => address.map((byte) => `0x${hex(byte)}`).join('.'),
  (address) => address.map((byte) => `0${byte.toString(8)}`).join('.'),
  (address) => address.map((byte) => `0000${byte.toString(8)}`).join('.'),
  ([a, b, c, d]) => `${a}.${(b * 256 + c) * 256 + d}`,
  ([a, b, c, d]) => `0x${hex(a)}.${b}.${c * 256 + d}`,
  (address) => spelled(address.join('.'), 0xff10, '。'),
  (address) => spelled(address.join('.'), 0x1d7d8, '．'),
  (address) => spelled(address.join('.'), 0x30, '｡'),
  (address) => address.join('%2e'),
  (address) => address.join('.').replaceAll('1', '%31'),
  (address) => address.join('\u00ad.'),
  (address) => `[::ffff:${address.join('.')}]`,
  (address) => `[::ffff:${hex(numberOf(address) >>> 16)}:${hex(numberOf(address) & 0xffff)}]`,
  (address) => `[::${address.join('.')}]`,
  (address) => `[64:ff9b::${address.join('.')}]`,
  (address) => `[2002:${hex(numberOf(address) >>> 16)}:${hex(numberOf(address) & 0xffff)}::1]`,
];
const words = (text: string): string[] => text.trim().split(/\s+/);

const OTHER_ADDRESSES = words(`
  [::1] [::] [0:0:0:0:0:0:0:1] [fe80::1] [fc00::1] [fd00:ec2::254] [ff02::1] [2606:4700::1111]
  [::1%25lo] [::1 ::1 [127.0.0.1] 0 1 0x 0x7f.1 127.1 256.256.256.256 1.2.3.4.5 4294967296
`);
/** Names that lead to no public server. */
const NAMES = words(`
  localhost LOCALHOST localhost. localhost.. a.localhost a.localhost. l%6fcalhost localhost。
  ⓛⓞⓒⓐⓛⓗⓞⓢⓣ ｌｏｃａｌｈｏｓｔ local\u00adhost lоcalhost localhost.localdomain
  printer.local printer.LOCAL. printer.local.. metadata.google.internal metadata nas.lan nas.home
  a.home.arpa a.test a.intranet a.corp a.private a.invalid a.example a.onion com com.
  1.0.0.127.in-addr.arpa media..example.org .example.org media.example.org.. . .. - *
`);
const NO_HOSTS = [
  ...words(`
    a<b.example.org a%00.example.org a%20.example.org xn-- a|b.org a^b.org % %zz.org
    \u0000 a\u200b media.example.org:x media.example.org:99999 media.example.org:-1 [ ] # ?
  `),
  '',
  ' ',
  'a b.example.org',
];

const REST = SOURCE_URL.slice('https://'.length);
const SCHEMES = words(`
  http: HTTP: ftp: file: ws: wss: gopher: blob:https: view-source: httpss: https.: about: jar:https: s3:
  data:video/mp4;base64, javascript:
`);
const PORTS = words('80 22 8443 0 1 25 6379 65535 00080 4430 444');
const USERS = words('user user:pass :pass media.example.com %40 a:b:c user: 💥');
const NO_URLS = [
  ...words(`
    film.mp4 /film.mp4 //media.example.org/a ://a.org https https: https:// https:/// null \u0000 ../a
    \ud800 ? # about:blank 💥
  `),
  '',
  ' ',
];
/** Ways to put a host into an address that a browser understands as well. */
const AROUND: readonly ((host: string) => string)[] = [
  (host) => `https://${host}/film.mp4`,
  (host) => `HTTPS://${host}/film.mp4`,
  (host) => ` https://${host}/film.mp4 `,
  (host) => `https:${host}/film.mp4`,
  (host) => `https:/${host}/film.mp4`,
  (host) => `https:\\\\${host}\\film.mp4`,
  (host) => `https:////${host}/film.mp4`,
  (host) => `ht\ntps://${host}/film.mp4`,
  (host) => `https://${host}:443/film.mp4`,
  (host) => `https://${host}?https://media.example.org/`,
  (host) => `https://${host}#@media.example.org/`,
  (host) => `https://media.example.org@${host}/`,
];

/** One of them, by what is wrong with it. */
function wrongUrl({ random, world }: Scene): readonly [what: string, url: string] {
  const at = (host: string) => random.pick(AROUND)(host);
  const own = random.pick(['127.0.0.1', '0x7f.1', '127.0.0.1.', '2130706433']);
  return random.pick([
    ['scheme', `${random.pick(SCHEMES)}//${REST}`],
    ['address', at(random.pick(SPELLINGS)(random.pick(ADDRESSES)))],
    ['address', at(random.pick(SPELLINGS)(random.pick(ADDRESSES)))],
    ['address', at(random.pick(OTHER_ADDRESSES))],
    ['name', at(random.pick(NAMES))],
    ['name', at(random.pick(NAMES))],
    ['no host', `https://${random.pick(NO_HOSTS)}`],
    ['user', `https://${random.pick(USERS)}@${REST}`],
    ['port', `https://media.example.org:${random.pick(PORTS)}/film.mp4`],
    // It is among those that are exempt from all of these rules.
    ['own host', `https://${own}:${world.port}/api/jobs`],
    ['exempt, but not by https', `http://127.0.0.1:${world.port}/film.mp4`],
    ['no URL', random.pick(NO_URLS)],
  ] as const);
}

/** A right job, but for where its input is. */
export const wrongSource: Generator = (scene, routes) => {
  const isCreate = ({ method, pattern }: { method: string; pattern: string }) =>
    method === 'POST' && pattern === '/api/jobs';
  const draft = draftOf(pickCall(scene, routes, isCreate), scene);
  const [what, url] = wrongUrl(scene);
  const body = withField(BODIES.createFromUrl(), 'input.url', JSON.stringify(url));
  const expect = refusal(['input_url_refused']);
  return requestInput(
    'input url',
    `${what}: ${short(JSON.stringify(url))}`,
    { ...draft, body },
    expect,
  );
};
