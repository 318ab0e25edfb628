// Responsible for ids that are none, as they stand in a path.

/** None of anything. */
const NO_IDS = [
  '..%2f',
  '..%2f..%2f..%2fetc%2fpasswd',
  '%2e%2e%2f',
  '%2f',
  '%5c',
  '..%5c',
  '%00',
  '%ff',
  '%ff%fe',
  '%252e%252e',
  '%252f',
  '%c0%ae%c0%ae',
  '%',
  '%2',
  '%zz',
  '%u0041',
  '__proto__',
  '-',
  '_',
  '.a',
  '~',
  '*',
  "'",
  "'%20OR%201=1",
  '%3Cscript%3E',
  '%0d%0aX:1',
  '%0a',
  '%20',
  '+',
  '@',
  ':',
  '%F0%9F%92%A5',
  'a'.repeat(10_240),
  `job_${'a'.repeat(26)}_00000000`,
  '%2e'.repeat(3000),
  '9'.repeat(400),
];

/** No number from 1 on as it is usually written. */
export const NO_EPOCHS = [
  ...'0 -1 00 01 1.5 1.0 1e0 0x1 0b1 %201 1%20 1%0a +1 %2B1 %D9%A1 %EF%BC%91 1,1'.split(' '),
  'NaN',
  'Infinity',
  'null',
  '__proto__',
  '9'.repeat(400),
];

/** What stands around a right id, or within it. */
const SPOILT: readonly ((id: string) => string)[] = [
  (id) => `${id};x`,
  (id) => `${id}%00`,
  (id) => `${id}%20`,
  (id) => `%20${id}`,
  (id) => `${id}%0a`,
  (id) => `${id}%2f`,
  (id) => `${id}%2f..`,
  (id) => `${id}.json`,
  (id) => `${id},${id}`,
  (id) => `${id}${id}`,
  (id) => `{${id}}`,
  (id) => `%ef%bb%bf${id}`,
  (id) => `${id}%e2%80%8b`,
  (id) => `${id}:1`,
  (id) => `${id}%ff`,
  (id) => encodeURI(`${id.slice(0, -1)}${id.endsWith('0') ? '1' : '0'}`),
  (id) => encodeURI(`${id}0`),
  (id) => encodeURI(id.slice(0, -1)),
  // Letters that only look like those.
  (id) => encodeURI(id.replace('job_', 'jоb_')),
  (id) => encodeURI(id.replace('_', '＿')),
];

/** Every one of them, from a right id. */
export function wrongIds(id: string): string[] {
  return [...NO_IDS, ...SPOILT.map((spoil) => spoil(id))].filter((wrong) => wrong !== id);
}
