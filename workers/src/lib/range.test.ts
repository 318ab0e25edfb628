import { expect, it } from 'vitest';
import { rangeOf } from './range.ts';

const ask = (range: string, size = 100, ifRange?: string) =>
  rangeOf(new Headers({ range, ...(ifRange && { 'if-range': ifRange }) }), '"e"', size);

it.each([
  ['bytes=0-9', { offset: 0, length: 10 }],
  ['bytes=90-', { offset: 90, length: 10 }],
  ['bytes=90-500', { offset: 90, length: 10 }],
  ['bytes=-10', { offset: 90, length: 10 }],
  ['bytes=-500', { offset: 0, length: 100 }],
  ['bytes=99-99', { offset: 99, length: 1 }],
])('%s is a part of the file', (range, part) => {
  expect(ask(range)).toEqual(part);
});

it.each(['bytes=100-', 'bytes=100-200', 'bytes=-0'])('%s is outside the file', (range) => {
  expect(ask(range)).toBe('unsatisfiable');
});

it.each(['bytes=5-2', 'bytes=0-1,5-6', 'bytes=-', 'bytes=a-b', 'items=0-1', ''])(
  '%s means the whole file',
  (range) => {
    expect(ask(range)).toBeNull();
  },
);

it('a range of another version means the whole file', () => {
  expect(ask('bytes=0-9', 100, '"other"')).toBeNull();
  expect(ask('bytes=0-9', 100, '"e"')).toEqual({ offset: 0, length: 10 });
});
