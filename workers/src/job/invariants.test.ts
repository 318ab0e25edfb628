import { describe, expect, it } from 'vitest';
import { jobIn, policy } from './fixtures.ts';
import { nextSeq } from './attempt.ts';
import { brokenByNote, brokenInvariants } from './invariants.ts';
import type { Job } from './job.ts';

const running = jobIn('running');
const next = { ...running, seq: nextSeq(running.seq) };
const complete = jobIn('complete');

describe('the assertions that stay on', () => {
  it('let a right change pass', () => {
    expect(brokenInvariants(running, next, policy)).toEqual([]);
    expect(brokenInvariants(null, jobIn('dispatching'), policy)).toEqual([]);
  });

  it.each<[string, Job, Job]>([
    ['I1', complete, { ...next, seq: nextSeq(complete.seq), progress: 100 }],
    ['I2', { ...running, progress: 50 }, { ...next, progress: 40 }],
    [
      'I2',
      { ...running, progress: 50 },
      { ...jobIn('retry_wait'), seq: next.seq, progressBefore: 40 },
    ],
    ['I3b', running, { ...next, owner: null }],
    ['I4', running, { ...next, seq: running.seq }],
    ['I10', running, { ...next, failures: policy.max_attempts + 1 }],
    ['I10', running, { ...next, attempt: running.attempt + 2 }],
    ['I12', running, { ...complete, seq: next.seq, verified: false }],
    ['I13', running, { ...next, requestHash: 'other' }],
  ])('refuse one that breaks %s', (id, before, after) => {
    expect(brokenInvariants(before, after, policy)).toEqual([id]);
  });

  it.each<[string, Job, Job]>([
    ['I1', complete, complete],
    ['I1', running, { ...jobIn('retry_wait') }],
    ['I2', { ...running, progress: 50 }, { ...running, progress: 40 }],
    ['I4', running, { ...running, seq: nextSeq(running.seq) }],
    ['I4', { ...running, seq: running.seq + 480 }, running],
  ])('refuse a note that breaks %s', (id, before, after) => {
    expect(brokenByNote(before, after)).toEqual([id]);
  });

  it('let a note pass that only adds to what is known', () => {
    expect(brokenByNote(running, { ...running, seq: running.seq + 480, progress: 48 })).toEqual([]);
  });
});
