import { describe, expect, it } from 'vitest';
import { T0, jobIn, policy } from './fixtures.ts';
import { nextWakeAt, retryDelay } from './schedule.ts';

describe('the one alarm', () => {
  it('is the earliest deadline of the state (I6b)', () => {
    expect(nextWakeAt(jobIn('dispatching'), null, policy)).toBe(T0 + policy.job_ms);
    const dispatched = jobIn('dispatched');
    expect(nextWakeAt(dispatched, null, policy)).toBe(T0 + 1000 + policy.ask_ms);
    const never = Number.POSITIVE_INFINITY;
    const unasked = { ...dispatched, askAt: never };
    expect(nextWakeAt(unasked, null, policy)).toBe(T0 + 1000 + policy.start_ms);
    const running = jobIn('running');
    expect(nextWakeAt(running, null, policy)).toBe(T0 + 2000 + policy.lease_ms);
    expect(nextWakeAt({ ...running, askAt: T0 + 9000 }, null, policy)).toBe(T0 + 9000);
    expect(nextWakeAt(jobIn('retry_wait'), null, policy)).toBe(jobIn('retry_wait').retryAt);
    expect(nextWakeAt(jobIn('complete'), null, policy)).toBe(T0 + 3000 + policy.retention_ms);
  });

  it('is earlier when the outbox wants to be drained before', () => {
    expect(nextWakeAt(jobIn('running'), T0 + 5, policy)).toBe(T0 + 5);
    expect(nextWakeAt(null, null, policy)).toBeNull();
  });
});

describe('the alarm of an ended job', () => {
  it('waits for its effects even beyond retention, so that an outage cannot make it spin', () => {
    const long = T0 + 2 * policy.retention_ms;
    expect(nextWakeAt(jobIn('complete'), long, policy)).toBe(long);
  });
});

describe('retry delay', () => {
  it('doubles up to its cap, and jitter takes at most half of it', () => {
    expect([0, 1, 2].map((n) => retryDelay(n, 1, policy))).toEqual([2000, 4000, 8000]);
    expect(retryDelay(30, 1, policy)).toBe(policy.retry_cap_ms);
    expect(retryDelay(30, 0, policy)).toBe(policy.retry_cap_ms / 2);
  });
});
