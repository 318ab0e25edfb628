import { problem, type ProblemCode } from '@export-jobs/protocol';
import { describe, expect, it } from 'vitest';
import { refusal, socket, type Answer, type Expect, type Outcome } from './input.ts';
import { changesBetween, faultsIn, growthOf, SLOW_MS } from './verdict.ts';

const SECRETS = ['the-signing-key'];

function answered(answer: Partial<Answer>, more: Partial<Outcome> = {}): Outcome {
  const whole = { status: 200, headers: new Map(), body: '', ...answer };
  return { answer: whole, texts: [], closeCode: null, end: 'answered', ms: 5, ...more };
}

function refused(code: ProblemCode, more: Partial<Answer> = {}): Outcome {
  const body = problem(code);
  const headers = new Map([['content-type', 'application/problem+json']]);
  return answered({ status: body.status, headers, body: JSON.stringify(body), ...more });
}

const faults = (expect: Expect, outcome: Outcome) => faultsIn(expect, outcome, SECRETS);
const opened = (more: Partial<Outcome>) => answered({ status: 101 }, more);

describe('a request that must be refused', () => {
  const invalid = refusal(['invalid_body']);

  it('holds when it is refused as the problem that it is', () => {
    expect(faults(invalid, refused('invalid_body'))).toEqual([]);
  });

  it('holds when the connection is closed instead only where it is no HTTP', () => {
    const nothing = { answer: null, texts: [], closeCode: null, ms: 9 } as const;
    expect(faults(invalid, { ...nothing, end: 'closed' })).toHaveLength(1);
    const broken = refusal([], { platform: [400] });
    expect(faults(broken, { ...nothing, end: 'closed' })).toEqual([]);
    expect(faults(invalid, { ...nothing, end: 'silent' })).toHaveLength(1);
  });

  it('fails when it is let through, refused as something else, or a 5xx', () => {
    expect(faults(invalid, answered({ status: 200, body: '{}' }))).toHaveLength(1);
    expect(faults(invalid, refused('invalid_json'))).toHaveLength(1);
    expect(faults(invalid, refused('internal_error'))).toHaveLength(1);
  });

  it('may be a 503 only where that very problem is meant', () => {
    const meant = refusal(['storage_unavailable']);
    expect(faults(meant, refused('storage_unavailable'))).toEqual([]);
    expect(faults(meant, refused('internal_error'))).toHaveLength(1);
  });

  it('fails when the refusal is no problem, or its parts do not agree', () => {
    const html = new Map([['content-type', 'text/html']]);
    expect(faults(invalid, answered({ status: 422, headers: html, body: '<p>' }))).toHaveLength(1);
    expect(faults(invalid, refused('invalid_body', { headers: html }))).toHaveLength(1);
    expect(faults(invalid, refused('invalid_body', { status: 400 }))).toHaveLength(1);
  });

  it('is told which methods there are', () => {
    const method = refusal(['method_not_allowed']);
    expect(faults(method, refused('method_not_allowed'))).toHaveLength(1);
    const headers = new Map([
      ['content-type', 'application/problem+json'],
      ['allow', 'GET'],
    ]);
    expect(faults(method, refused('method_not_allowed', { headers }))).toEqual([]);
  });

  it('by HEAD has a status and no body', () => {
    const head = refusal(['invalid_query'], { head: true });
    expect(faults(head, answered({ status: 422 }))).toEqual([]);
    expect(faults(head, answered({ status: 404 }))).toHaveLength(1);
  });

  it('may be answered by the runtime where it is no HTTP, in a line of its own', () => {
    const broken = refusal([], { platform: [400, 500] });
    expect(faults(broken, answered({ status: 500, body: 'Internal Server Error' }))).toEqual([]);
    expect(faults(broken, answered({ status: 400, body: 'ERROR: no HTTP.' }))).toEqual([]);
    expect(faults(broken, answered({ status: 501, body: 'ERROR: no.' }))).toHaveLength(1);
    expect(faults(broken, answered({ status: 500, body: 'Error: x\n  y' }))).toHaveLength(1);
    expect(faults(broken, refused('internal_error'))).toHaveLength(1);
  });

  it('may be told to come less often, if it is told when', () => {
    expect(faults(invalid, refused('rate_limited'))).toHaveLength(1);
    const headers = new Map([
      ['content-type', 'application/problem+json'],
      ['retry-after', '60'],
    ]);
    expect(faults(invalid, refused('rate_limited', { headers }))).toEqual([]);
  });

  it('is not kept waiting', () => {
    expect(faults(invalid, { ...refused('invalid_body'), ms: SLOW_MS + 1 })).toHaveLength(1);
  });

  it.each([
    'Error: x\n    at readBody (file:///x/body.ts:12:3)',
    'ej1.k1.abc.def',
    'ejk_0000',
    '/somewhere/workers/src/index.js',
    'the-signing-key',
  ])('is told nothing of the inside: %j', (detail) => {
    const body = JSON.stringify({ ...problem('invalid_body'), detail });
    expect(faults(invalid, refused('invalid_body', { body }))).toHaveLength(1);
  });
});

describe('a socket', () => {
  it('that must be closed holds with its code, or cut off, and with nothing else', () => {
    const closes = socket({ closes: [1007] });
    expect(faults(closes, opened({ closeCode: 1007 }))).toEqual([]);
    expect(faults(closes, opened({ end: 'closed' }))).toEqual([]);
    expect(faults(closes, opened({ closeCode: 1000 }))).toHaveLength(1);
    expect(faults(closes, opened({ end: 'silent' }))).toHaveLength(1);
    expect(faults(closes, opened({ texts: ['{"type":"ack","seq":1}'] }))).toHaveLength(1);
  });

  it('that must live on is not closed', () => {
    const pong = socket({ pong: true });
    expect(faults(pong, opened({ texts: ['{"type":"pong"}'] }))).toEqual([]);
    expect(faults(pong, opened({ end: 'closed' }))).toHaveLength(1);
    expect(faults(pong, opened({ closeCode: 1011 }))).toHaveLength(1);
  });

  it('on which a call is refused says so with the right problem', () => {
    const notice = socket({ notices: ['not_owner'] });
    const text = (code: ProblemCode) =>
      JSON.stringify({ type: 'refused', seq: 1, problem: problem(code) });
    expect(faults(notice, opened({ texts: ['{}', text('not_owner')] }))).toEqual([]);
    const pace = '{"type":"pace","next_report_ms":1000}';
    expect(faults(notice, opened({ texts: [text('not_owner'), pace] }))).toEqual([]);
    expect(faults(notice, opened({ texts: [pace] }))).toHaveLength(1);
    expect(faults(notice, opened({ texts: [text('stale_attempt')] }))).toHaveLength(1);
  });

  it('must have been opened', () => {
    expect(faults(socket({ pong: true }), refused('unauthorized'))).toHaveLength(1);
  });
});

it('half a request may get no answer, and no 5xx of the Worker', () => {
  const nothing = { by: 'nothing' } as const;
  const silence = { answer: null, texts: [], closeCode: null, end: 'left', ms: 200 } as const;
  expect(faults(nothing, silence)).toEqual([]);
  expect(faults(nothing, refused('invalid_json'))).toEqual([]);
  expect(faults(nothing, refused('internal_error'))).toHaveLength(1);
});

describe('the world', () => {
  it('has not changed when all of it is as it was', () => {
    const before = new Map([['job a', 'x']]);
    expect(changesBetween(before, new Map(before))).toEqual([]);
  });

  it('tells what is new, gone, or different, and where', () => {
    const before = new Map([
      ['job a', '{"progress":1}'],
      ['job b', 'y'],
    ]);
    const after = new Map([
      ['job a', '{"progress":50}'],
      ['job c', 'z'],
    ]);
    expect(changesBetween(before, after)).toEqual([
      expect.stringMatching(/^job a has changed: .*1.* became .*50/),
      expect.stringMatching(/^job b is gone/),
      expect.stringMatching(/^job c is new/),
    ]);
  });
});

it('memory is compared by the medians of both halves, so that a peak is none', () => {
  expect(growthOf([1, 1, 90, 2, 2, 2])).toEqual({ first: 1, second: 2 });
});
