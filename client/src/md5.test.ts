import { createHash, randomBytes } from 'node:crypto';
import { expect, it } from 'vitest';
import { Md5, md5Of } from './md5.ts';

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex');
const known = (bytes: Uint8Array) => createHash('md5').update(bytes).digest('hex');

it('is MD5, of any length and in pieces of any length', () => {
  for (let size = 0; size < 300; size += 1) {
    const bytes = randomBytes(size);
    expect(hex(new Md5().update(bytes).digest())).toBe(known(bytes));
    const hash = new Md5();
    for (let at = 0; at < size; at += 7) hash.update(bytes.subarray(at, at + 7));
    expect(hex(hash.digest())).toBe(known(bytes));
  }
});

it('reads a blob', async () => {
  const bytes = randomBytes(3_000_000);
  expect(hex(await md5Of(new Blob([bytes])))).toBe(known(bytes));
});
