import { describe, expect, it } from 'vitest';
import { complete, running, waiting } from '../../../client/test/jobs.ts';
import { jobLine, optionsLine } from './describe.ts';
import { bytes, leftIn, percent, roughly, sentence, timecode } from './format.ts';
import { announcement, isIndeterminate, shownPercent, spokenProgress } from './stages.ts';

describe('what a screen reader hears', () => {
  it('changes only with stage, attempt and quarter', () => {
    const spoken = [26, 30, 49.9].map((progress) => announcement(running(1, progress)));
    expect(new Set(spoken).size).toBe(1);
    expect(announcement(running(1, 50))).not.toBe(spoken[0]);
    expect(announcement(waiting(2, 2))).toMatch(/^Attempt 2 of 3/);
  });

  it('has percent and time left at the bar, and no number before there is one', () => {
    const left = { ms: 120_000, p90Ms: 120_000 };
    expect(spokenProgress(running(1, 42), left, 0)).toBe('42 percent, about 2 minutes left');
    expect(spokenProgress(waiting(1), null, 0)).toBe('Waiting for a renderer');
  });

  it('is a span when the time left can only be said so', () => {
    const left = { ms: 120_000, p90Ms: 300_000 };
    expect(spokenProgress(running(1, 42), left, 0)).toBe('42 percent, 2–5 minutes left');
  });

  it('says why nobody has come yet', () => {
    const job = { ...waiting(1), wait_reason: 'throttled' } as const;
    expect(spokenProgress(job, null, 0)).toBe('Waiting for a free GPU');
  });
});

describe('the line on an export', () => {
  const options = { container: 'mp4', fit: 'contain', quality: 60, mute: false } as const;

  it('promises no larger picture than the source has', () => {
    expect(optionsLine({ ...options, width: 1080 })).toBe('MP4 · at most 1080 px wide');
    expect(optionsLine({ ...options, height: 1080 })).toBe('MP4 · at most 1080p');
  });

  it('claims no file for a job that was made by hand', () => {
    expect(jobLine(complete(1))).toBe('Made by hand · not checked');
    expect(jobLine({ ...complete(1), options }).replaceAll('\u00a0', ' ')).toBe(
      '2 × 2 · 0:01.0 · 10 bytes',
    );
  });
});

describe('a text from elsewhere', () => {
  it('ends with one full stop before the next sentence', () => {
    expect(['boom', 'Gone. ', 'Why?'].map(sentence)).toEqual(['boom.', 'Gone.', 'Why?']);
  });
});

describe('the percent of a bar', () => {
  it('is not taken back by a new attempt, nor 100 before the end', () => {
    expect(shownPercent({ ...running(1, 10, 2), overall_progress: 82 })).toBe(82);
    expect(isIndeterminate({ ...waiting(1, 2), overall_progress: 80 })).toBe(false);
    expect(shownPercent({ ...running(1, 100), overall_progress: null })).toBe(99);
    expect(shownPercent({ ...complete(1), overall_progress: 100 })).toBe(100);
  });
});

describe('the time left', () => {
  it.each([
    [4000, 8000, 'a few seconds left'],
    [4000, 42_000, 'up to 40 seconds left'],
    [20_000, 40_000, '20–40 seconds left'],
    [40_000, 125_000, '40 seconds to 2 minutes left'],
    [120_000, 130_000, 'about 2 minutes left'],
    [120_000, 300_000, '2–5 minutes left'],
    [50 * 60_000, 170 * 60_000, '50 minutes to 3 hours left'],
  ])('of %i to %i ms is told as people would', (ms, p90Ms, words) => {
    expect(leftIn(ms, p90Ms)).toBe(words);
  });
});

describe('numbers', () => {
  it('show 100 percent only at the end', () => {
    expect(percent(99.9)).toBe('99%');
    expect(percent(100)).toBe('100%');
  });

  it('read as people say them', () => {
    expect([roughly(4000), roughly(42_000), roughly(65_000), roughly(7_200_000)]).toEqual([
      'a few seconds',
      '40 seconds',
      '1 minute',
      '2 hours',
    ]);
    expect([timecode(3.24), timecode(59.96), timecode(3723.5)]).toEqual([
      '0:03.2',
      '1:00.0',
      '1:02:03.5',
    ]);
    expect([bytes(0), bytes(4_212_345)]).toEqual(['0 bytes', '4.2 MB']);
  });
});
