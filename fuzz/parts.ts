// Responsible for files by parts in bodies: right ones, and what is wrong in each of their fields.
import { NOT_A_TEXT, NUMBER, text, type Field } from './catalogue.ts';

/** A file of two parts, bytes. */
export const LARGE = 20_000_000;
/** What a list of parts may be, bytes. */
export const MAX_LIST = 4 * 1024 * 1024;
export const PARTS = [
  { number: 1, etag: 'e' },
  { number: 2, etag: 'f' },
];
export const PARTS_CHECKSUM = `${'0'.repeat(32)}-2`;

const MD5 = 'a'.repeat(32);
export const CHECKSUM: Field = [
  ...NOT_A_TEXT,
  ...[
    '',
    MD5,
    `${MD5}-`,
    `${MD5}-0`,
    `${MD5}-01`,
    `${MD5}-100000`,
    `${MD5}-2\n`,
    `${MD5}a-2`,
    `${MD5.slice(1)}-2`,
    `${MD5.toUpperCase()}-2`,
    `${'g'.repeat(32)}-2`,
    `"${MD5}-2"`,
  ].map((value) => JSON.stringify(value)),
];

const NO_LIST = ['null', '1', '"1"', 'true', '{}', '[]', '{"length":1,"0":1}', '[[1]]', '[null]'];
const PART_NUMBER: Field = [...NUMBER, '10001', '1e5'];
/** Of a file of two parts. */
export const PART_NUMBERS: Field = [
  ...NO_LIST,
  ...PART_NUMBER.map((number) => `[${number}]`),
  '[3]',
  '[1,2,3]',
  '[10000]',
  `[${'1,'.repeat(100)}1]`,
];
const TOO_MANY = Array.from({ length: 10_001 }, (_, n) => ({ number: n + 1, etag: 'e' }));
/** By field: what a file may not be put together from. */
export const OF_PARTS = {
  parts: [
    ...NO_LIST,
    '[1]',
    '[{}]',
    '["e"]',
    '[{"number":1,"etag":"e"},{"number":1,"etag":"f"}]',
    '[{"number":1,"etag":"e"},{"number":2,"etag":""}]',
    JSON.stringify(TOO_MANY),
  ],
  'parts.0': ['null', '1', '"e"', '[]', '{}'],
  'parts.0.number': PART_NUMBER,
  'parts.0.etag': text(1, 256),
};
