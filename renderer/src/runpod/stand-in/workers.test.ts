import { expect, it } from 'vitest';
import { Workers } from './workers.ts';

it('forgets a worker that was silent for a minute', () => {
  const workers = new Workers();
  workers.pinged('a', true, 0);
  workers.asked('b', 30_000);
  const ready = (now: number) => workers.health(new Set(), now).ready;
  expect([ready(59_999), ready(60_000), ready(90_000)]).toEqual([2, 1, 0]);
});
