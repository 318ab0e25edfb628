import { describe, expect, it } from 'vitest';
import { violationsIn, type Evidence, type JobEvidence } from './check.ts';
import type { Promised } from './client.ts';
import type { Watched } from './viewer.ts';
import type { JobView, Message } from './view.ts';

const JOB: JobView = {
  id: 'a',
  status: 'complete',
  progress: 100,
  seq: 9000,
  attempt: 2,
  max_attempts: 3,
  output_video_key: 'out/a',
  output_url: '/one',
  output: { size: 5, sha256: 'x', frames: 36 },
};

const PROMISED: Promised = {
  plan: {
    key: 'k',
    at: 0,
    source: 'short',
    options: {},
    repeats: [],
    cancelAfter: null,
    viewers: [],
  },
  ids: new Set(['a']),
  refusals: [],
  cancelled: false,
  frames: 36,
};

const GOOD: JobEvidence = {
  id: 'a',
  promised: PROMISED,
  status: { job: JOB, parked: [] },
  later: { job: { ...JOB, output_url: '/signed-again' }, parked: [] },
  row: { id: 'a', rev: 9000, status: 'complete', progress: 100, output_video_key: 'out/a' },
  file: { problem: null, size: 5, sha256: 'x', frames: 36 },
};

/** A change of state, and a report after it. */
const at = (seq: number, progress: number, attempt: number): Message => {
  const job = { ...JOB, status: 'processing', seq, progress, attempt };
  return { type: 'status', status: 'processing', seq, progress, job };
};
const report = (seq: number, progress: number, attempt: number): Message => ({
  type: 'progress',
  seq,
  progress,
  attempt,
});
const END: Message = { type: 'complete', seq: 9000, job: JOB };

const heard = (...messages: Message[]): Watched => overTwo(messages, []);

/** Heard on one connection, and the rest on the next. */
const overTwo = (first: Message[], second: Message[], resumes = true): Watched => ({
  jobId: 'a',
  plan: { stays: [], awayMs: 0, resumes, returns: false },
  heard: [
    ...first.map((message) => ({ connection: 0, message })),
    ...second.map((message) => ({ connection: 1, message })),
  ],
});

const WATCHED = heard(at(3000, 0, 1), report(3600, 60, 1), at(6000, 10, 2), END);

function broken(evidence: Partial<Evidence>): string[] {
  const whole = {
    rowChanges: [],
    outboxes: [],
    encoders: [],
    promised: [PROMISED],
    completed: new Set(['a']),
    changes: new Map([['a', [1000, 2000]]]),
  };
  return violationsIn({ ...whole, jobs: [GOOD], watched: [WATCHED], ...evidence }).map(
    ({ invariant }) => invariant,
  );
}

const job = (changes: Partial<JobEvidence>) => ({ jobs: [{ ...GOOD, ...changes }] });

describe('the verdict on a run', () => {
  it('is clean when all is well', () => {
    expect(broken({})).toEqual([]);
  });

  it.each([
    ['an old report by a smaller number', [report(3400, 40, 1), END]],
    ['the next change with less progress', [at(3600, 60, 1), at(4000, 10, 1), END]],
  ])('lets a server that died forget what was only reported: %s', (_, after) => {
    expect(broken({ watched: [overTwo([at(3000, 0, 1), report(3600, 60, 1)], after)] })).toEqual(
      [],
    );
  });

  it.each<[string, Partial<Evidence>, string]>([
    ['the object knows no job', job({ status: null }), 'every accepted job ended in time'],
    [
      'a create was never answered',
      { promised: [{ ...PROMISED, ids: new Set() }] },
      'every accepted job ended in time',
    ],
    [
      'a job changed after its end',
      job({ later: { job: { ...JOB, seq: 10_000 }, parked: [] } }),
      'an ended job never changed',
    ],
    [
      'a row changed after its end',
      { rowChanges: [{ id: 'a', detail: '' }] },
      'an ended job never changed',
    ],
    [
      'the row is behind',
      job({ row: { ...JOB, rev: 8000, progress: 100, output_video_key: 'out/a' } }),
      'D1 says the same as the object',
    ],
    ['there is no row', job({ row: undefined }), 'D1 says the same as the object'],
    [
      'the file is cut',
      job({ file: { problem: null, size: 4, sha256: 'x', frames: 36 } }),
      'complete: the file is there and whole',
    ],
    [
      'the file lacks a frame that was planned',
      job({ promised: { ...PROMISED, frames: 37 } }),
      'complete: the file is there and whole',
    ],
    [
      'a job completes although its cancel was acknowledged',
      job({ promised: { ...PROMISED, cancelled: true } }),
      'an acknowledged end is the end',
    ],
    [
      'a renderer was told that its job is complete, and it is not',
      {
        ...job({
          status: { job: { ...JOB, status: 'cancelled' }, parked: [] },
          later: { job: { ...JOB, status: 'cancelled' }, parked: [] },
          row: {
            id: 'a',
            rev: 9000,
            status: 'cancelled',
            progress: 100,
            output_video_key: 'out/a',
          },
        }),
        watched: [],
      },
      'an acknowledged end is the end',
    ],
    [
      'a viewer that resumed missed a change',
      {
        watched: [heard(at(3000, 0, 1), at(7000, 20, 2), END)],
        changes: new Map([['a', [1000, 6000, 9000]]]),
      },
      'viewers: one that resumes misses no change',
    ],
    [
      'there were too many attempts',
      job({
        status: { job: { ...JOB, attempt: 4 }, parked: [] },
        later: { job: { ...JOB, attempt: 4 }, parked: [] },
      }),
      'attempts stay within their limit',
    ],
    [
      'a repeated create made another job',
      { promised: [{ ...PROMISED, ids: new Set(['a', 'b']) }] },
      'repeated creates made one job',
    ],
    [
      'a job was made that no client knows of',
      job({ promised: null }),
      'repeated creates made one job',
    ],
    [
      'a create was refused',
      { promised: [{ ...PROMISED, refusals: ['409'] }] },
      'nothing valid was refused',
    ],
    [
      'a number fell on one connection',
      { watched: [heard(report(5200, 20, 1), report(5100, 20, 1), END)] },
      'viewers: seq never falls',
    ],
    [
      'a change fell behind after a crash',
      { watched: [overTwo([at(5000, 1, 1)], [at(4000, 1, 1), END])] },
      'viewers: seq never falls',
    ],
    [
      'progress fell',
      { watched: [heard(at(3000, 60, 1), at(4000, 10, 1), END)] },
      'viewers: progress never falls within an attempt',
    ],
    [
      'progress that a viewer named was taken back',
      { watched: [overTwo([report(3600, 60, 1)], [at(3600, 10, 1), END])] },
      'viewers: progress never falls within an attempt',
    ],
    [
      'progress came after the end',
      { watched: [heard(at(3000, 60, 2), END, at(10_000, 100, 2))] },
      'viewers: nothing after the end',
    ],
    [
      'a viewer never heard of the end',
      { watched: [heard(at(3000, 60, 2))] },
      'viewers: the end is heard, and the same',
    ],
    [
      'a viewer heard of another end',
      { watched: [heard({ type: 'error', seq: 9000, job: { ...JOB, status: 'error' } })] },
      'viewers: the end is heard, and the same',
    ],
    ['an effect is left', { outboxes: ['a: mirror'] }, 'nothing is left in an outbox'],
    ['an encoder is left', { encoders: ['1'] }, 'no encoder is left'],
  ])('says so when %s', (_, evidence, invariant) => {
    expect(broken(evidence)).toEqual([invariant]);
  });
});
