import { expect, it } from 'vitest';
import { BoundedCache } from './bounded-cache.ts';

it('computes once what it remembers, and forgets the oldest when it is full', () => {
  const computed: string[] = [];
  const cache = new BoundedCache<number>(2);
  const lengthOf = (text: string) =>
    cache.get(text, () => {
      computed.push(text);
      return text.length;
    });
  expect(['a', 'bb', 'a', 'ccc', 'bb', 'a'].map(lengthOf)).toEqual([1, 2, 1, 3, 2, 1]);
  expect(computed).toEqual(['a', 'bb', 'ccc', 'a']);
});
