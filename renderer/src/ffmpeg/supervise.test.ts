import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { endGroup } from './supervise.ts';

const LEADER = 4_000_000;
let sent: [signal: unknown, afterMs: number][];
beforeEach(() => {
  vi.useFakeTimers();
  const startedAt = Date.now();
  sent = [];
  vi.spyOn(process, 'kill').mockImplementation((pid, signal) => {
    expect(pid).toBe(-LEADER);
    sent.push([signal, Date.now() - startedAt]);
    return true;
  });
});
afterEach(() => {
  vi.restoreAllMocks();
  vi.useRealTimers();
});

describe('a group that must end', () => {
  it('is asked at once, and killed after 1.5 s', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const ending = endGroup(LEADER, promise);
    expect(sent).toEqual([['SIGTERM', 0]]);
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sent).toEqual([
      ['SIGTERM', 0],
      ['SIGKILL', 1500],
    ]);
    resolve();
    await ending;
  });

  it('is not killed when it ends in time, for its number may soon be another’s', async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    const ending = endGroup(LEADER, promise);
    await vi.advanceTimersByTimeAsync(1499);
    resolve();
    await ending;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(sent).toEqual([['SIGTERM', 0]]);
  });

  it('need not be there any more', async () => {
    vi.spyOn(process, 'kill').mockImplementation(() => {
      throw new Error('ESRCH');
    });
    await endGroup(LEADER, Promise.reject(new Error('could not be started')));
    await endGroup(undefined, Promise.resolve());
  });
});
