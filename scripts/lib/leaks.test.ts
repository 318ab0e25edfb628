import { describe, expect, it } from 'vitest';
import { leaksIn } from './leaks.ts';

const A = 'a'.repeat(60);

describe('a secret in what was written', () => {
  it.each([
    ['a signed token', `GET /x?token=ej1.k1.${A}.${A}`],
    ['an API key', `key ejk_${A.slice(0, 12)}_${A}`],
    ['a JWT', `token eyJ${A}.eyJ${A}.${A}`],
    ['a bearer’s token', `authorization: Bearer ${A}`],
    ['a key of the configuration', `SIGNING_KEYS='k1:${A}'`],
    ['a signed address', `https://r2.example/x?X-Amz-Signature=${'0'.repeat(64)}`],
  ])('is found: %s', (kind, line) => {
    const [leak, ...more] = leaksIn(`fine\n${line}\nfine`);
    expect(leak).toMatchObject({ line: 2, kind });
    expect(leak?.before).not.toContain(A);
    expect(more).toEqual([]);
  });

  it('is found by its value too, wherever it stands', () => {
    const [leak] = leaksIn('x rpa_ABCDEF y', ['rpa_ABCDEF']);
    expect(leak).toEqual({ line: 1, kind: 'a known secret', before: 'x ' });
  });

  it.each([
    'ej1.k1.<token>',
    'the key ejk_abc (its prefix)',
    'Bearer <token>',
    'Authorization: Bearer',
    'missing or malformed: SIGNING_KEYS, API_KEY',
    `sha256 ${'0'.repeat(64)}`,
  ])('is not seen where there is none: %s', (line) => {
    expect(leaksIn(line)).toEqual([]);
  });
});
