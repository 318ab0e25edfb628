// Tabs that are hidden, frozen and offline, and a laptop that sleeps, in a real Chromium: what each page
// showed is judged like any viewer's.
import path from 'node:path';
import { beforeAll, describe, expect, it } from 'vitest';
import type { PagePlan, ViewersPlan } from '../faults/viewers/plan.ts';
import { runViewers, type Outcome, type ViewersRunResult } from '../faults/viewers/run.ts';
import { isOver } from '../faults/viewers/sighting.ts';
import { temporaryFolder } from './support/stack.ts';

const S = 1000;
/** When the laptop sleeps, and how long, ms. */
const SLEEP = { at: 8 * S, ms: 8 * S };
/** When tabs are in trouble, and how long, ms. */
const TROUBLE = { at: 20 * S, ms: 10 * S };

const page = (name: string, job: number, more: Partial<PagePlan> = {}): PagePlan => {
  return { name, job, arrivesAt: 0, troubles: [], faults: [], ...more };
};
const attempt = (ms: number) => ({ way: 'socket', ms, end: 'complete' }) as const;

/** The first job ends while the laptop sleeps, the second while tabs are in trouble. */
const PLAN: ViewersPlan = {
  seed: 1,
  faultMs: 32 * S,
  jobs: [
    { startsAt: 0, attempts: [attempt(13 * S)], cancelAt: null, end: 'complete' },
    { startsAt: 0, attempts: [attempt(60 * S)], cancelAt: 25 * S, end: 'cancelled' },
  ],
  viewers: [],
  pages: [
    page('asleep', 0),
    page('asleep, its connections dead', 0, { faults: [{ at: 10 * S, kind: 'freeze' }] }),
    page('hidden', 1, { troubles: [{ ...TROUBLE, kind: 'hide' }] }),
    page('frozen', 1, { troubles: [{ ...TROUBLE, kind: 'freeze page' }] }),
    page('frozen, its connections dead', 1, {
      troubles: [{ ...TROUBLE, kind: 'freeze page' }],
      faults: [{ at: 22 * S, kind: 'freeze' }],
    }),
    page('offline', 1, {
      troubles: [{ ...TROUBLE, kind: 'offline' }],
      faults: [{ at: 20 * S, kind: 'swallow', ms: 10 * S }],
    }),
  ],
  blows: [
    { kind: 'sleep', ...SLEEP },
    { kind: 'kill', at: 10 * S, downMs: 0 },
  ],
};

let result: ViewersRunResult;
beforeAll(async () => {
  const folder = await temporaryFolder('asleep');
  result = await runViewers({ plan: PLAN, folder: path.join(folder, 'run') });
}, 600_000);

/** The longest time in which a page showed nothing new, ms. */
function silenceOf({ spectator }: Outcome): number {
  const { sightings } = spectator;
  return Math.max(...sightings.map(({ at }, n) => at - (sightings[n - 1]?.at ?? at)));
}

/** When a page showed the end, epoch ms. */
function endSeenBy(name: string): number {
  return outcomeOf(name).spectator.sightings.find(isOver)?.at ?? Number.NaN;
}

function outcomeOf(name: string): Outcome {
  const found = result.outcomes.find(({ spectator }) => spectator.name === name);
  if (!found) throw new Error(`there is no page ${name}`);
  return found;
}

describe('a page in a browser', () => {
  it.each(PLAN.pages.map(({ name }) => name))(
    'shows the right end and every change before it: %s',
    (name) => {
      const { violations, spectator } = outcomeOf(name);
      expect(violations).toEqual([]);
      expect(spectator.sightings.some(isOver)).toBe(true);
      expect(spectator.sightings.length).toBeGreaterThan(5);
    },
  );

  it('was really asleep: it showed nothing until the laptop woke, and then the end', () => {
    for (const name of ['asleep', 'asleep, its connections dead']) {
      expect(silenceOf(outcomeOf(name))).toBeGreaterThan(SLEEP.ms - 2 * S);
    }
  });

  it('was really frozen: it showed nothing until it was looked at again, and then the end', () => {
    for (const name of ['frozen', 'frozen, its connections dead']) {
      expect(silenceOf(outcomeOf(name))).toBeGreaterThan(TROUBLE.ms - 2 * S);
    }
  });

  it('hears of the end while it is only hidden: before the frozen ones do', () => {
    for (const name of ['frozen', 'frozen, its connections dead']) {
      expect(endSeenBy('hidden')).toBeLessThan(endSeenBy(name));
    }
  });

  it('is told what its jobs came to by a server that was killed meanwhile', () => {
    expect([...result.broken, ...result.jobs]).toEqual([]);
    expect(Object.fromEntries(result.ends)).toEqual({ complete: 1, cancelled: 1 });
  });
});
