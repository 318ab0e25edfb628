import { createElement } from 'react';
import { renderToString } from 'react-dom/server';
import { describe, expect, it } from 'vitest';
import { complete, running, waiting } from '../test/jobs.ts';
import { leftAt, nextEta } from './eta.ts';
import { ExportProgress, type ProgressShown } from './progress.ts';

const at = (updated_at: number, eta_ms: number | null, eta_p90_ms: number | null = null) =>
  Object.assign(running(1000, 40), { updated_at, eta_ms, eta_p90_ms });

describe('the time that is left', () => {
  it('goes down with the clock at both ends, and follows new estimates slowly', () => {
    let eta = nextEta(null, at(0, 10_000, 20_000), 0);
    eta = nextEta(eta, at(1000, 9000, 19_000), 0);
    expect(eta).toMatchObject({ ms: 9000, p90Ms: 19_000 });
    expect(nextEta(eta, at(2000, 18_000, 28_000), 0)).toMatchObject({ ms: 11_000, p90Ms: 21_000 });
  });

  it('is one number when the server says only one, and never ends before it may', () => {
    expect(nextEta(null, at(0, 10_000), 0)).toMatchObject({ ms: 10_000, p90Ms: 10_000 });
    expect(nextEta(null, at(0, 10_000, 4000), 0)).toMatchObject({ ms: 10_000, p90Ms: 10_000 });
  });
});

describe('between two reports', () => {
  it('the time left is counted down at both ends by the clock here, and never below nothing', () => {
    // By the server's clock it is an hour later than here.
    const eta = nextEta(null, at(3_600_000, 10_000, 20_000), 500);
    const left = [400, 500, 4500, 14_500, 90_000].map((now) => leftAt(eta, now));
    expect(left).toEqual([
      { ms: 10_000, p90Ms: 20_000 },
      { ms: 10_000, p90Ms: 20_000 },
      { ms: 6000, p90Ms: 16_000 },
      { ms: 0, p90Ms: 6000 },
      { ms: 0, p90Ms: 0 },
    ]);
    expect(leftAt(nextEta(eta, at(3_601_000, 9000, 19_000), 1600), 2600)).toEqual({
      ms: 8000,
      p90Ms: 18_000,
    });
    expect(leftAt(null, 0)).toBeNull();
  });

  it('what one job has left says nothing of another', () => {
    const eta = nextEta(null, at(0, 10_000), 0);
    const other = { ...at(-5000, 90_000), id: 'other' };
    expect(nextEta(eta, other, 0)).toMatchObject({ id: 'other', ms: 90_000 });
  });
});

/** What the bar gives its children to show. */
function shownOf(job: Parameters<typeof ExportProgress>[0]['job']): ProgressShown {
  const seen: ProgressShown[] = [];
  renderToString(
    createElement(ExportProgress, {
      job,
      children: (shown) => {
        seen.push(shown);
        return null;
      },
    }),
  );
  const [shown] = seen;
  if (!shown) throw new Error('nothing was shown');
  return shown;
}

describe('what a screen reader hears of the time left', () => {
  const heard = (ms: number, p90Ms: number) => {
    const html = renderToString(createElement(ExportProgress, { job: at(0, ms, p90Ms) }));
    return /aria-valuetext="40 percent, ([^"]+)"/.exec(html)?.[1];
  };

  it.each([
    [20_000, 25_000, 'less than a minute left'],
    [20_000, 100_000, 'at most about 2 minutes left'],
    [60_000, 62_000, 'about 1 minute left'],
    [120_000, 150_000, 'about 2 minutes left'],
    [120_000, 300_000, '2 to 5 minutes left'],
  ])('of %i to %i ms is "%s … %s"', (ms, p90Ms, words) => {
    expect(heard(ms, p90Ms)).toBe(words);
  });
});

describe('the percent that is shown', () => {
  it('is that of the whole job, which a new attempt does not take back', () => {
    const again = { ...running(6000, 10, 2), overall_progress: 82 };
    expect(shownOf(again).percent).toBe(82);
    expect(shownOf({ ...waiting(5000, 2), overall_progress: 80 }).percent).toBe(80);
  });

  it('is not 100 before the end, though a person at a keyboard may say so', () => {
    expect(shownOf({ ...running(1000, 100), overall_progress: 100 }).percent).toBe(99);
    expect(shownOf({ ...complete(2000), overall_progress: 100 }).percent).toBe(100);
  });

  it('is the attempt’s own when the server is older', () => {
    expect(shownOf({ ...running(1000, 42.9), overall_progress: null }).percent).toBe(42);
  });
});
