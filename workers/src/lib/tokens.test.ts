import { describe, expect, it } from 'vitest';
import { isJobId, jobId } from './ids.ts';
import { sameSecret, signToken, verifyToken } from './tokens.ts';

const keys = [{ kid: 'k1', secret: '11'.repeat(32) }];
const idKey = '33'.repeat(32);
const NOW = 1_000_000;
const payload = { k: 'out/a/ü.mp4', exp: NOW + 1000 };
const token = signToken(keys, 'download', payload);

describe('a token', () => {
  it('says what was signed, until it expires', () => {
    expect(verifyToken(keys, 'download', token, NOW)).toEqual(payload);
    expect(verifyToken(keys, 'download', token, NOW + 1000)).toBeNull();
  });

  it('of one purpose serves no other', () => {
    expect(verifyToken(keys, 'view', token, NOW)).toBeNull();
    expect(verifyToken(keys, 'attempt', token, NOW)).toBeNull();
  });

  it('with any character changed, dropped or added is refused', () => {
    for (let i = 0; i < token.length; i += 1) {
      const swapped = token[i] === 'A' ? 'B' : 'A';
      const forged = token.slice(0, i) + swapped + token.slice(i + 1);
      // The last character of base64url holds bits that no byte has; it decodes, but is not ours.
      expect(verifyToken(keys, 'download', forged, NOW)).toBeNull();
    }
    expect(verifyToken(keys, 'download', token.slice(0, -1), NOW)).toBeNull();
    expect(verifyToken(keys, 'download', `${token}.x`, NOW)).toBeNull();
    expect(verifyToken(keys, 'download', '', NOW)).toBeNull();
  });

  it('of a rotated key is still good, and new ones are signed with the first', () => {
    const rotated = [{ kid: 'k2', secret: '22'.repeat(32) }, ...keys];
    expect(verifyToken(rotated, 'download', token, NOW)).toEqual(payload);
    expect(signToken(rotated, 'download', payload)).toMatch(/^ej1\.k2\./);
    expect(verifyToken(keys, 'download', signToken(rotated, 'download', payload), NOW)).toBeNull();
  });
});

describe('a job id', () => {
  it('carries a tag, so that a guess is not an id (S28)', () => {
    const id = jobId(idKey, '0'.repeat(26));
    expect(isJobId(idKey, id, false)).toBe(true);
    const guess = id.replace(/.$/, (c) => (c === '0' ? '1' : '0'));
    expect(isJobId(idKey, guess, true)).toBe(false);
    expect(isJobId('44'.repeat(32), id, true)).toBe(false);
    expect(isJobId(idKey, 'test-job-123', false)).toBe(false);
    expect(isJobId(idKey, 'test-job-123', true)).toBe(true);
  });

  it.each(['', '.', '..', '%00', 'a/b', 'a'.repeat(65), '__proto__', 'ä'])('is never %j', (id) => {
    expect(isJobId(idKey, id, true)).toBe(false);
  });
});

it('secrets of any length compare without an error', () => {
  expect(sameSecret('a', 'a')).toBe(true);
  expect(sameSecret('a', 'b')).toBe(false);
  expect(sameSecret('a', 'aa')).toBe(false);
});
