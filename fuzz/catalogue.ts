// Responsible for bad values by the kind of field that they are put in. Every value is JSON text, because
// some of the worst, such as 1e999, are not values that JSON.stringify can make.
import type { Random } from '../faults/random.ts';

/** A field, and what is bad in it; its values are bad whatever the other fields say. */
export type Field = readonly string[];

const json = (value: unknown): string => JSON.stringify(value);
const long = (length: number): string => json('x'.repeat(length));

/** What no field takes that is not an object or a list. */
const OF_NO_KIND = ['{}', '[]', '[1]', '[[]]', '{"length":1}', '{"__proto__":1}'];
const NOT_A_NUMBER = [...OF_NO_KIND, 'true', 'false', 'null', '""', '"50"', '"NaN"', '"1e1"'];
const INFINITE = ['1e999', '-1e999', '1e400'];
export const NOT_A_TEXT: Field = [...OF_NO_KIND, 'true', 'null', '0', '1', '-1.5', '1e999'];
const NEGATIVE = ['-1', '-0.0001', '-9007199254740993', '-1e300'];

export const PERCENT: Field = [
  ...NOT_A_NUMBER,
  ...INFINITE,
  ...NEGATIVE,
  '100.0001',
  '101',
  '9007199254740993',
  '1e300',
];
/** A number from 0 on. */
export const HINT: Field = [...NOT_A_NUMBER, ...INFINITE, ...NEGATIVE];
/** A whole number from 0 on. */
export const COUNT: Field = [...HINT, '0.5', '1.0000001'];
/** A whole number from 1 on. */
export const NUMBER: Field = [...COUNT, '0', '-0'];
export const FLAG: Field = [...OF_NO_KIND, 'null', '0', '1', '"true"', '""', '"false"'];
export const SHA256: Field = [
  ...NOT_A_TEXT,
  ...[
    '',
    'a'.repeat(63),
    'a'.repeat(65),
    'A'.repeat(64),
    'g'.repeat(64),
    `${'a'.repeat(64)}\n`,
  ].map(json),
];

/** A number within limits. */
export function between(from: number, to: number, more: Field = []): Field {
  return [
    ...NOT_A_NUMBER,
    ...INFINITE,
    ...NEGATIVE,
    ...more,
    `${from - 1}`,
    `${to + 1}`,
    `${to}.5`,
  ];
}

/** A text of so many characters. */
export function text(min: number, max: number, more: readonly string[] = []): Field {
  const tooShort = min > 0 ? ['""', ...(min > 1 ? [long(min - 1)] : [])] : [];
  const tooLong = [long(max + 1), long(max * 2), json('\u0301'.repeat(max + 1))];
  return [...NOT_A_TEXT, ...tooShort, ...tooLong, ...more.map(json)];
}

/** A text that may be null. */
export const orNull = (field: Field): Field => field.filter((value) => value !== 'null');

/** One of some words. */
export function oneOf(...words: readonly string[]): Field {
  const [first = ''] = words;
  const near = [
    first.toUpperCase(),
    ` ${first}`,
    `${first}\u0000`,
    `${first}\u200b`,
    `${first}${first}`,
  ];
  const wrong = ['', 'nonsense', '__proto__', 'constructor', ...near].filter(
    (w) => !words.includes(w),
  );
  return [...NOT_A_TEXT, ...wrong.map(json), json([first])];
}

/** A list of some words, without a word twice. */
export function someOf(words: readonly string[]): Field {
  const wrong = [
    ['nonsense'],
    [''],
    [null],
    [[]],
    [{}],
    Array.from({ length: 50 }, () => words[0]),
  ];
  return ['null', '0', 'true', '{}', '"read"', '{"length":1,"0":"read"}', ...wrong.map(json)];
}

/** Texts that are not of a form that allows only a few characters. */
export const NOT_A_NAME = [
  '',
  ' ',
  '../etc',
  '..',
  '/',
  'a/b',
  'a\\b',
  'a b',
  'a\u0000b',
  'a\r\nb',
  '\u202eabc',
  'a\u200bb',
  '\ud800',
  'é',
  'аcme',
  '%2e%2e',
  '<script>',
  "' OR 1=1 --",
  'x'.repeat(65),
  '\u001b[2J',
  '💥',
];
export const NAME: Field = [...NOT_A_TEXT, ...NOT_A_NAME.map(json)];

/** Bodies that are not an object. `null` among them is what `typeof` calls one. */
export const NOT_AN_OBJECT = [
  'null',
  'true',
  'false',
  '0',
  '42',
  '-1',
  '1e999',
  '""',
  '"x"',
  '[]',
  '[{}]',
  '[null]',
  '[[[[]]]]',
];

/** Bodies that are no JSON. */
export const NOT_JSON: readonly (string | Buffer)[] = [
  '',
  ' ',
  '\n\t ',
  '{',
  '}',
  '{}}',
  '[',
  '{"a":}',
  '{"a"',
  "{'a':1}",
  '{a:1}',
  '{"a":1,}',
  '[1,]',
  'NaN',
  'Infinity',
  '-Infinity',
  'undefined',
  '01',
  '1.',
  '.5',
  '+1',
  '0x10',
  '1e',
  '{"a":NaN}',
  '// c\n{}',
  '/* c */{}',
  '{}garbage',
  '{} {}',
  'nul',
  'tru',
  '"',
  '"\\x"',
  '"\\u12"',
  '"a\nb"',
  '\u0000',
  '{}\u0000',
  '\u00a0{}',
  '\ufeff\ufeff{}',
  'a=b&c=d',
  '<xml/>',
  '--x\r\n\r\n--x--',
  '['.repeat(60_000),
  '{"a":'.repeat(10_000),
  '"'.repeat(1001),
  `${'['.repeat(20_000)}${']'.repeat(19_999)}`,
  ...[
    [0xff, 0xfe],
    [0xc3, 0x28],
    [0xed, 0xa0, 0x80],
    [0xf8, 0x88, 0x80, 0x80, 0x80],
    [0xc0, 0x80],
  ].map((bytes) => Buffer.from(bytes)),
  Buffer.from('{"a":1}', 'utf16le'),
  Buffer.concat([Buffer.from('{"a":"'), Buffer.from([0x80]), Buffer.from('"}')]),
  Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3]),
];

/** Objects that have none of the fields that are asked for, as themselves or behind a prototype. */
export const NOTHING_IN_IT = [
  '{}',
  '{"":1}',
  '{"__proto__":null}',
  '{"constructor":{"prototype":{}}}',
  '{"toString":1}',
  '{"hasOwnProperty":null,"valueOf":1}',
];

/** Names that a strict object does not know. */
export const UNKNOWN_KEYS = [
  '',
  ' ',
  'x',
  'constructor',
  'prototype',
  '__proto__',
  'toString',
  'hasOwnProperty',
  '\u0000',
  '💥',
  '__defineGetter__',
  'tenant_id',
  'status',
  'length',
  '0',
  'then',
  'toJSON',
  'x'.repeat(10_000),
];

export const NOT_JSON_TYPES = [
  '',
  'text/plain',
  'text/html',
  'application/x-www-form-urlencoded',
  'multipart/form-data; boundary=x',
  'application/json; charset=utf-16',
  'application/json; charset=latin1',
  'application/jsonx',
  'json',
  'application/json, text/plain',
  'application/json;charset',
  '*/*',
  'application/*',
  'application / json',
];

/** Text cut, or with one character changed. */
export function damaged(whole: string, random: Random): string {
  const at = random.integer(1, whole.length - 1);
  if (random.chance(0.3)) return whole.slice(0, at);
  const was = whole[at] ?? '';
  const other = was === 'A' ? 'B' : 'A';
  return `${whole.slice(0, at)}${other}${whole.slice(at + 1)}`;
}
