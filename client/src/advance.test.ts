import { describe, expect, it } from 'vitest';
import { cancelled, complete, reportOf, running, waiting } from '../test/jobs.ts';
import { advance, withReport } from './advance.ts';

describe('advance', () => {
  it('takes whatever comes first', () => {
    expect(advance(null, running(7, 40)).seq).toBe(7);
  });

  it('ignores an older seq and takes a snapshot with the same one', () => {
    const now = running(5, 50);
    expect(advance(now, running(4, 60))).toBe(now);
    const snapshot = running(5, 50);
    expect(advance(now, snapshot)).toBe(snapshot);
  });

  it('never lets progress fall within an attempt, and lets a new attempt start over', () => {
    expect(advance(running(5, 50), running(6, 30)).progress).toBe(50);
    expect(advance(running(5, 50), waiting(6, 2)).progress).toBe(0);
  });

  it('keeps the progress that was seen when the job ends otherwise', () => {
    // The object may have forgotten, in a crash, what the last reports said.
    const end = { ...cancelled(4), attempt: 1, progress: 12 };
    expect(advance(running(6, 68), end)).toMatchObject({ status: 'cancelled', progress: 68 });
  });

  it('never lets the progress of the whole job fall, whatever an end or another attempt says', () => {
    const now = { ...running(6600, 60), overall_progress: 57 };
    const said = [
      { ...running(6700, 61), overall_progress: 10 },
      { ...waiting(7000, 2), overall_progress: 9 },
      { ...cancelled(7000), overall_progress: 12 },
    ];
    expect(said.map((next) => advance(now, next).overall_progress)).toEqual([57, 57, 57]);
    const report = { ...reportOf(running(6700, 61)), overall_progress: 10 };
    expect(withReport(now, report)).toMatchObject({ progress: 61, overall_progress: 57 });
  });

  it('keeps a whole that nobody knows unknown, and what does not fall as it is', () => {
    const now = { ...running(6600, 60), overall_progress: 57 };
    expect(advance(now, running(6700, 61)).overall_progress).toBeNull();
    expect(advance(running(6600, 60), now).overall_progress).toBe(57);
    const next = { ...running(6700, 61), overall_progress: 57 };
    expect(advance(now, next)).toBe(next);
  });

  it('changes nothing after an end, not even for another end', () => {
    const end = complete(9);
    expect(advance(end, running(10, 20))).toBe(end);
    expect(advance(end, cancelled(11))).toBe(end);
  });

  it('takes an end whatever its seq', () => {
    expect(advance(running(9, 90), complete(3)).status).toBe('complete');
  });
});

describe('a report', () => {
  const report = reportOf(running(5480, 48));

  it('changes what it can of a job that is being processed', () => {
    const job = withReport(running(5000, 0), { ...report, fps: 30, message: 'Frame 1' });
    expect(job).toMatchObject({ seq: 5480, progress: 48, fps: 30, message: 'Frame 1' });
  });

  it('of the same permille is news all the same, and an older one is not', () => {
    const now = running(5480, 48);
    expect(withReport(now, { ...report, eta_ms: 9 })).toMatchObject({ eta_ms: 9 });
    expect(withReport(now, { ...report, seq: 5470, progress: 47 })).toBe(now);
  });

  it('says nothing of another attempt, of a job that waits, or of one that is not known', () => {
    const now = running(6000, 0, 2);
    expect(withReport(now, report)).toBe(now);
    const pending = waiting(5000, 1);
    expect(withReport(pending, report)).toBe(pending);
    expect(withReport(null, report)).toBeNull();
  });
});
