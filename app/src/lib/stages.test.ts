import { describe, expect, it } from 'vitest';
import { complete, running, waiting } from '../../../client/test/jobs.ts';
import { jobLine, optionsLine } from './describe.ts';
import { bytes, percent, roughly, sentence, timecode } from './format.ts';
import { announcement, spokenProgress } from './stages.ts';

describe('what a screen reader hears', () => {
  it('changes only with stage, attempt and quarter', () => {
    const spoken = [26, 30, 49.9].map((progress) => announcement(running(1, progress)));
    expect(new Set(spoken).size).toBe(1);
    expect(announcement(running(1, 50))).not.toBe(spoken[0]);
    expect(announcement(waiting(2, 2))).toMatch(/^Attempt 2 of 3/);
  });

  it('has percent and time left at the bar, and no number before there is one', () => {
    const job = { ...running(1, 42), eta_ms: 120_000 };
    expect(spokenProgress(job, 0)).toBe('42 percent, about 2 minutes left');
    expect(spokenProgress(waiting(1), 0)).toBe('Waiting for a renderer');
  });

  it('says why nobody has come yet', () => {
    const job = { ...waiting(1), wait_reason: 'throttled' } as const;
    expect(spokenProgress(job, 0)).toBe('Waiting for a free GPU');
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
