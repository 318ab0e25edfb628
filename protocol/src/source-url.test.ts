import { expect, it } from 'vitest';
import { sourceUrlFlaw } from './source-url.ts';

it.each([
  'https://media.example.com/film.mp4',
  'https://media.example.com:443/film.mp4?signature=a%2Fb#t=1',
  'HTTPS://MEDIA.EXAMPLE.COM./film.mp4',
  'https://bücher.example.org/film.mp4',
  'https://10.example.com/film.mp4',
  'https://internal.example.com/film.mp4',
])('%s may be read from', (url) => expect(sourceUrlFlaw(url)).toBe(null));

it.each([
  ['http://media.example.com/film.mp4', 'https:'],
  ['file:///etc/passwd', 'https:'],
  ['ftp://media.example.com/film.mp4', 'https:'],
  ['data:video/mp4;base64,AAAA', 'https:'],
  ['/film.mp4', 'URL'],
  ['', 'URL'],
  ['https://', 'URL'],
  ['https://media.example.com:22/film.mp4', 'port'],
  ['https://media.example.com:80/film.mp4', 'port'],
  ['https://user@media.example.com/film.mp4', 'user name'],
  ['https://:pass@media.example.com/film.mp4', 'user name'],
  ['https://127.0.0.1/', 'IP address'],
  ['https://127.1/', 'IP address'],
  ['https://2130706433/', 'IP address'],
  ['https://0x7f000001/', 'IP address'],
  ['https://0x7f.1/', 'IP address'],
  ['https://0177.0.0.1/', 'IP address'],
  ['https://127.0.0.1./', 'IP address'],
  ['https://127。0。0。1/', 'IP address'],
  ['https://①②⑦.⓪.⓪.①/', 'IP address'],
  ['https://8.8.8.8/', 'IP address'],
  ['https://[::1]/', 'IP address'],
  ['https://[::ffff:169.254.169.254]/', 'IP address'],
  ['https://[2606:4700::1111]/', 'IP address'],
  ['https://localhost/', 'public host'],
  ['https://LOCALHOST./', 'public host'],
  ['https://a.localhost/', 'public host'],
  ['https://printer.local/', 'public host'],
  ['https://metadata.google.internal/', 'public host'],
  ['https://metadata/', 'public host'],
  ['https://router.home.arpa/', 'public host'],
  ['https://localhost.localdomain/', 'public host'],
  ['https://127.0.0.1../', 'public host'],
  ['https://localhost../', 'public host'],
  ['https://media..example.com/', 'public host'],
  ['https://.example.com/', 'public host'],
  ['https://../', 'public host'],
])('%s may not: %s', (url, reason) => expect(sourceUrlFlaw(url)).toContain(reason));

it('a host that is exempt may be read from, by https and without a password all the same', () => {
  const exempt = ['localhost:8443', '10.0.0.5'];
  expect(sourceUrlFlaw('https://localhost:8443/film.mp4', exempt)).toBe(null);
  expect(sourceUrlFlaw('https://10.0.0.5/film.mp4', exempt)).toBe(null);
  expect(sourceUrlFlaw('http://localhost:8443/film.mp4', exempt)).toContain('https:');
  expect(sourceUrlFlaw('https://a:b@localhost:8443/', exempt)).toContain('user name');
  expect(sourceUrlFlaw('https://localhost:8444/film.mp4', exempt)).toContain('port');
  expect(sourceUrlFlaw('https://localhost/film.mp4', exempt)).toContain('public host');
});
