import { describe, expect, it } from 'vitest';
import { jobIn, policy } from './fixtures.ts';
import { brokenInvariants } from './invariants.ts';
import type { Job } from './job.ts';

const running = jobIn('running');
const next = { ...running, seq: running.seq + 1 };
const complete = jobIn('complete');

describe('the assertions that stay on', () => {
  it('let a right change pass', () => {
    expect(brokenInvariants(running, next, policy)).toEqual([]);
    expect(brokenInvariants(null, jobIn('dispatching'), policy)).toEqual([]);
  });

  it.each<[string, Job, Job]>([
    ['I1', complete, { ...next, seq: complete.seq + 1, progress: 100 }],
    ['I2', { ...running, progress: 50 }, { ...next, progress: 40 }],
    ['I3b', running, { ...next, owner: null }],
    ['I4', running, { ...next, seq: running.seq }],
    ['I10', running, { ...next, failures: policy.max_attempts + 1 }],
    ['I10', running, { ...next, attempt: running.attempt + 2 }],
    ['I12', running, { ...complete, seq: next.seq, verified: false }],
    ['I13', running, { ...next, requestHash: 'other' }],
  ])('refuse one that breaks %s', (id, before, after) => {
    expect(brokenInvariants(before, after, policy)).toEqual([id]);
  });
});
