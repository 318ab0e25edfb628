import { afterEach, expect, it, vi } from 'vitest';
import { eachFrame } from './frame.ts';

afterEach(() => vi.unstubAllGlobals());

it('where there are frames but no document, what is heard waits for the frame', () => {
  const frames: (() => void)[] = [];
  vi.stubGlobal('requestAnimationFrame', (draw: () => void) => frames.push(draw));
  vi.stubGlobal('cancelAnimationFrame', () => undefined);
  let say: () => void = () => undefined;
  let heard = 0;
  const subscribe = eachFrame((listener) => {
    say = listener;
    return () => undefined;
  });
  const unsubscribe = subscribe(() => (heard += 1));
  say();
  say();
  expect([heard, frames.length]).toEqual([0, 1]);
  frames[0]?.();
  expect(heard).toBe(1);
  unsubscribe();
});
