import { describe, expect, it } from 'vitest';
import { cancelled, complete, running, waiting } from '../test/jobs.ts';
import { advance } from './advance.ts';

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

  it('changes nothing after an end, not even for another end', () => {
    const end = complete(9);
    expect(advance(end, running(10, 20))).toBe(end);
    expect(advance(end, cancelled(11))).toBe(end);
  });

  it('takes an end whatever its seq', () => {
    expect(advance(running(9, 90), complete(3)).status).toBe('complete');
  });
});
