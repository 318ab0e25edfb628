import { describe, expect, it } from 'vitest';
import type { Expectation, Pattern } from './format.ts';
import { judge } from './judge.ts';
import { fits } from './match.ts';
import type { Seen } from './wire.ts';

const KNOWN = { $token: 'secret', $jobId: 'j1' };

function seen(call: string, more: Partial<Seen> = {}): Seen {
  const nothing = { method: 'POST', path: `/${call}`, query: {}, headers: {}, bytes: 0 };
  return { side: 'server', call, at: 0, epoch: 7, ...nothing, ...more };
}

describe('a pattern', () => {
  const report = seen('progress', {
    body: { epoch: 7, seq: 3, stages: ['a', 'b'], note: 'the secret' },
    query: { id: 'j1' },
    path: '/jobs/j1/progress',
    bytes: 20,
    status: 200,
  });
  it.each<[string, Pattern, boolean]>([
    ['fits by its parts', { call: 'progress', body: { seq: 3 } }, true],
    ['does not fit another value', { body: { seq: 4 } }, false],
    ['takes one of several names', { call: ['claim', 'progress'] }, true],
    ['takes one of several statuses', { status: [409, 410] }, false],
    ['wants whole arrays', { body: { stages: ['a'] } }, false],
    ['wants a whole body where it says so', { exactBody: { epoch: 7, seq: 3 } }, false],
    ['knows the job', { query: { id: '$jobId' } }, true],
    ['knows the epoch that was given', { body: { epoch: '$epoch' } }, true],
    ['knows what any text is', { body: { note: '$text' } }, true],
    ['knows that a number is no text', { body: { seq: '$text' } }, false],
    ['wants what it names to be absent', { body: { seq: '$absent' } }, false],
    ['takes what is absent', { body: { code: '$absent' } }, true],
    ['never takes what is not known yet for what is not there', { query: { x: '$key' } }, false],
    ['fills in a path', { path: '/jobs/$jobId/progress' }, true],
    ['finds a secret anywhere', { holds: '$token' }, true],
    ['leaves out what must not be', { not: { body: { seq: 3 } } }, false],
    ['keeps what is otherwise', { not: { body: { seq: 4 } } }, true],
    ['is about large bodies only where it says so', { minBytes: 21 }, false],
  ])('%s', (_, pattern, expected) => {
    expect(fits(pattern, report, KNOWN)).toBe(expected);
  });
});

describe('an expectation', () => {
  const calls = [
    seen('claim', { at: 0, body: { nonce: 'a' }, status: 200 }),
    seen('progress', { at: 100, body: { epoch: 7, seq: 1 } }),
    seen('progress', { at: 200, body: { epoch: 8, seq: 1 } }),
    seen('progress', { at: 300, body: { epoch: 7, seq: 2 } }),
    seen('complete', { at: 400, body: { epoch: 7 } }),
    seen('complete', { at: 500, body: { epoch: 7 } }),
  ];
  const marks: Expectation[] = [
    { that: 'claim', as: 'claim', see: { call: 'claim' } },
    { that: 'end', as: 'end', see: { call: 'complete' }, times: [1, null] },
    { that: 'no stop', as: 'stop', see: { status: 409 }, times: 0 },
  ];
  const progress: Pattern = { call: 'progress' };
  const complete: Pattern = { call: 'complete' };
  it.each<[string, Omit<Expectation, 'that'>, string | undefined]>([
    [
      'wants at least one call',
      { see: { call: 'error' } },
      'seen 0 times instead of 1 to any number',
    ],
    ['counts exactly', { see: progress, times: 2 }, 'seen 3 times instead of 2'],
    ['counts within bounds', { see: progress, times: [2, 3] }, undefined],
    ['looks behind a mark', { see: progress, after: 'end', times: 0 }, undefined],
    ['looks before a mark', { see: progress, before: 'claim', times: 0 }, undefined],
    [
      'sees nothing behind a mark that never came',
      { see: progress, after: 'stop', times: 0 },
      undefined,
    ],
    ['sees everything before it', { see: progress, before: 'stop', times: 3 }, undefined],
    [
      'is silent where its condition never came',
      { see: progress, if: 'stop', times: 9 },
      undefined,
    ],
    [
      'bounds the time',
      { see: progress, after: 'claim', withinMs: 99 },
      'came 100 ms after "claim" instead of 0 to 99',
    ],
    [
      'bounds it from below',
      { see: progress, after: 'claim', withinMs: [101, 200] },
      'came 100 ms after "claim" instead of 101 to 200',
    ],
    ['wants the same', { see: complete, same: 'body' }, undefined],
    ['sees what differs', { see: progress, same: 'body' }, 'body differs'],
    ['sees what comes twice', { see: complete, distinct: 'body.epoch' }, 'body.epoch comes twice'],
    ['counts up for each process by itself', { see: progress, grows: 'body.seq' }, undefined],
    ['sees what stands still', { see: complete, grows: 'body.epoch' }, 'body.epoch does not grow'],
  ])('%s', (_, expectation, expected) => {
    const that = 'this';
    const found = judge([...marks, { that, ...expectation }], calls, KNOWN);
    expect(found.map(({ that, detail }) => [that, detail])).toEqual(
      expected === undefined ? [] : [[that, expected]],
    );
  });
});
