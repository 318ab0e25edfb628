import { ExportApiError, ExportTransportError } from '@export-jobs/client';
import { describe, expect, it } from 'vitest';
import { cancelled, complete, failed } from '../test/jobs.ts';
import { EXIT, exitOf, exitOfJob, Interrupted, UsageError } from './exit.ts';
import { failureOf, linesOf } from './failure.ts';

const refusal = (
  code: string,
  status: number,
  extra: { errors?: { pointer: string; detail: string }[]; detail?: string } = {},
) =>
  new ExportApiError({
    title: `(${code})`,
    code,
    status,
    retryable: false,
    ...extra,
  });

describe('the exit code', () => {
  it('of an export that was watched is how that ended', () => {
    expect(exitOfJob(complete())).toBe(0);
    expect(exitOfJob(failed('no'))).toBe(1);
    expect(exitOfJob(cancelled())).toBe(3);
  });

  it.each([
    [new UsageError('x'), 2],
    [refusal('invalid_body', 422), 2],
    [refusal('invalid_query', 422), 2],
    [refusal('job_not_found', 404), 4],
    [refusal('unauthorized', 401), 5],
    [refusal('cancel_conflict', 409), 5],
    [refusal('too_many_viewers', 429), 5],
    [refusal('internal_error', 500), 6],
    [refusal('not_configured', 503), 6],
    // A stranger's 404 says nothing about a job.
    [refusal('unexpected_response', 404), 6],
    [new ExportTransportError('x'), 6],
    [new Error('ENOSPC'), 7],
    ['a string', 7],
    [new Interrupted(130, 'x'), 130],
  ])('of %s is %d', (error, code) => expect(exitOf(error)).toBe(code));

  it('has one meaning each', () => {
    expect(new Set(Object.values(EXIT)).size).toBe(Object.values(EXIT).length);
  });
});

describe('what is said of a failure', () => {
  const say = (error: unknown, token: string | null = null) =>
    linesOf(failureOf(error, 'http://s', token));

  it('names the flag and the pointer of each wrong field', () => {
    const errors = [
      { pointer: '/options/codec', detail: 'is not carried by this container' },
      { pointer: '/options/container', detail: 'must be mp4' },
      { pointer: '/options/trim', detail: 'must end after it starts' },
      { pointer: '/options/trim/start', detail: 'must be at least 0' },
      { pointer: '/tags/0', detail: 'must be a tag' },
      { pointer: '/elsewhere', detail: 'is wrong' },
    ];
    const detail = '/options/codec: is not carried by this container';
    expect(say(refusal('invalid_body', 422, { errors, detail }))).toEqual([
      'export-jobs: The server does not accept this:',
      '  --codec is not carried by this container (/options/codec)',
      '  --format must be mp4 (/options/container)',
      '  --end must end after it starts (/options/trim)',
      '  --start must be at least 0 (/options/trim/start)',
      '  --tag must be a tag (/tags/0)',
      '  /elsewhere: is wrong',
    ]);
  });

  it('is one line otherwise, and no stack', () => {
    expect(say(new Error('first\nsecond'))).toEqual(['export-jobs: first']);
    expect(say(refusal('job_not_found', 404))).toEqual(['export-jobs: (job_not_found)']);
    const refused = Object.assign(new Error('connect'), { code: 'ECONNREFUSED' });
    const cause = new TypeError('fetch failed', { cause: refused });
    expect(say(new ExportTransportError('x', { cause }))).toEqual([
      'export-jobs: The server at http://s cannot be reached (ECONNREFUSED).',
    ]);
  });

  it('says what to do about missing credentials', () => {
    expect(say(refusal('unauthorized', 401))[0]).toContain('EXPORT_JOBS_TOKEN');
  });

  it('never holds the token, and cannot steer a terminal', () => {
    const cause = new TypeError('invalid header: Bearer hush-hush');
    const error = new ExportTransportError('x', { cause });
    expect(JSON.stringify(failureOf(error, 'http://s', 'hush-hush'))).not.toContain('hush-hush');
    expect(say(error, 'hush-hush').join('')).toContain('***');
    expect(say(new Error('\x1b[2J'))).toEqual(['export-jobs: \uFFFD[2J']);
  });
});
