import { describe, expect, it } from 'vitest';
import { bar, formatBytes } from './terminal.ts';

describe('formatBytes', () => {
  it.each([
    [0, '0 B'],
    [999, '999 B'],
    [1000, '1.0 kB'],
    [647_071, '647 kB'],
    [12_345_678, '12.3 MB'],
    [1e9, '1.0 GB'],
    [5e15, '5000 TB'],
  ])('%d bytes are %s', (bytes, text) => expect(formatBytes(bytes)).toBe(text));
});

describe('bar', () => {
  it('is full at 100 only', () => {
    expect(bar(99.9, 'x', 10)).toBe('█████████░  99 %  x');
    expect(bar(100, 'x', 10)).toBe('██████████ 100 %  x');
    expect(bar(-1, 'x', 10)).toContain('░'.repeat(10));
  });
});
