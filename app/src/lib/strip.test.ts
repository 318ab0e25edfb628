import { describe, expect, it } from 'vitest';
import { running } from '../../../client/test/jobs.ts';
import { stripOf, stripOfJob } from './strip.ts';

const memory = {
  uploadId: 'upl_1',
  facts: { duration: 24, width: 16, height: 9 },
  strip: 'data:,',
};

function exportOf(trim?: { start: number; end?: number }) {
  const options = { container: 'mp4', fit: 'contain', quality: 60, mute: false } as const;
  return { ...running(1, 1), options: trim === undefined ? options : { ...options, trim } };
}

describe('the filmstrip of an export', () => {
  it('is the whole of an untrimmed video, and nothing without a picture', () => {
    const whole = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11];
    expect(stripOfJob(exportOf(), memory)?.frames).toEqual(whole);
    expect(stripOf('data:,')?.frames).toEqual(whole);
    expect(stripOfJob(exportOf(), null)).toBeNull();
  });

  it('is cut to the trim', () => {
    expect(stripOfJob(exportOf({ start: 12 }), memory)?.frames).toEqual([
      6, 6, 7, 7, 8, 8, 9, 9, 10, 10, 11, 11,
    ]);
    expect(new Set(stripOfJob(exportOf({ start: 4.5, end: 5.5 }), memory)?.frames)).toEqual(
      new Set([2]),
    );
    expect(stripOfJob(exportOf({ start: 23, end: 99 }), memory)?.frames.at(-1)).toBe(11);
  });
});
