import { describe, expect, it } from 'vitest';
import {
  judge,
  judgeJobs,
  PATIENCE_MS,
  type Evidence,
  type Kind,
  type Spectator,
  type Truth,
} from './judge.ts';
import type { Sighting } from './sighting.ts';

const HEALED = 20_000;

const TRUTH: Truth = {
  id: 'a',
  planned: 'complete',
  status: 'complete',
  seq: 5000,
  endedAt: 10_000,
  changes: [1000, 2000, 3000, 4000, 5000],
  row: { status: 'complete', seq: 5000 },
};
const OTHER: Truth = { ...TRUTH, id: 'b', endedAt: 4000 };

/** A second after the one before it. */
function shown(...looks: Partial<Sighting>[]): Sighting[] {
  return looks.map((look, n) => ({
    at: 1000 * (n + 1),
    jobId: 'a',
    seq: 1000,
    status: 'processing',
    progress: 0,
    overall_progress: 0,
    attempt: 1,
    ...look,
  }));
}

const PENDING = { status: 'pending', seq: 1000 };
const AGAIN = { status: 'pending', seq: 3000, attempt: 2 };
const END = { status: 'complete', seq: 5000, progress: 100, attempt: 2 };
const GOOD = [
  PENDING,
  { seq: 2000 },
  { seq: 2480, progress: 48 },
  AGAIN,
  { seq: 4000, attempt: 2 },
  { seq: 4100, progress: 10, attempt: 2 },
  END,
];

function wrongs(
  transport: Kind,
  looks: Partial<Sighting>[],
  { seen = {}, ...evidence }: Partial<Evidence> & { seen?: Partial<Spectator> } = {},
): string[] {
  const spectator: Spectator = {
    name: 'v',
    transport,
    jobId: 'a',
    arrivedAt: 500,
    readyAt: transport === 'feed' ? 5000 : null,
    sightings: shown(...looks),
    refusals: [],
    ...seen,
  };
  const whole = { truths: [TRUTH, OTHER], forgotten: [], healedAt: HEALED, ...evidence };
  return judge(spectator, whole).violations.map(({ wrong }) => wrong);
}

/** All reports were forgotten after the third look. */
const FORGOTTEN = { forgotten: [{ jobId: null, from: 3400, to: 3600 }] };

const KINDS: readonly Kind[] = [
  'socket',
  'stream',
  'long poll',
  'plain GET',
  'SDK',
  'SDK without sockets',
  'SDK with polls only',
  'feed',
  'page',
];

describe('the verdict on a viewer', () => {
  it.each(KINDS)('is clean when all is well, by %s', (kind) => {
    expect(wrongs(kind, GOOD)).toEqual([]);
  });

  it.each(['socket', 'stream', 'SDK', 'SDK with polls only', 'page'] as const)(
    'lets %s begin in the middle, but skip no change from there on',
    (kind) => {
      expect(wrongs(kind, GOOD.slice(2))).toEqual([]);
      expect(
        wrongs(
          kind,
          GOOD.filter((look) => look !== AGAIN),
        ),
      ).toEqual(['missed']);
    },
  );

  it('has a long poll show every change from the beginning', () => {
    expect(wrongs('long poll', GOOD.slice(2))).toEqual(['missed']);
  });

  it.each(['plain GET', 'feed'] as const)('lets %s show only the latest', (kind) => {
    expect(wrongs(kind, [{ seq: 2480, progress: 48 }, END])).toEqual([]);
  });

  it.each(KINDS.filter((kind) => kind !== 'feed'))('sees a number that falls, by %s', (kind) => {
    const looks = [
      PENDING,
      { seq: 2000 },
      { seq: 2480, progress: 48 },
      { seq: 2470, progress: 48 },
    ];
    expect(wrongs(kind, [...looks, ...GOOD.slice(3)])).toEqual(['fell']);
  });

  it('drops what a feed tells late, as its viewers are told to', () => {
    expect(wrongs('feed', [{ seq: 2480, progress: 48 }, { seq: 2000 }, END])).toEqual([]);
  });

  it('lets only a plain GET fall behind what the server has forgotten, and only within a change', () => {
    const fallen = [PENDING, { seq: 2000 }, { seq: 2480, progress: 48 }, { seq: 2000 }, END];
    expect(wrongs('plain GET', fallen, FORGOTTEN)).toEqual([]);
    expect(
      wrongs('plain GET', fallen, { forgotten: [{ jobId: 'b', from: 3400, to: 3600 }] }),
    ).toEqual(['fell']);
    const change = [
      { seq: 4000, attempt: 2 },
      { seq: 4000, attempt: 2 },
      { seq: 4000, attempt: 2 },
    ];
    expect(wrongs('plain GET', [...change, { seq: 3000, attempt: 2 }, END], FORGOTTEN)).toEqual([
      'fell',
    ]);
    expect(wrongs('socket', fallen, FORGOTTEN)).toContain('fell');
  });

  it('lets progress fall with a change after something was forgotten, but never what the SDK shows', () => {
    const truth = { ...TRUTH, status: 'error', seq: 3000, changes: [1000, 2000, 3000] };
    const truths = [{ ...truth, planned: 'error', row: { status: 'error', seq: 3000 } }];
    const failed = { status: 'error', seq: 3000, progress: 10 };
    const looks = [PENDING, { seq: 2000 }, { seq: 2480, progress: 48 }, failed];
    expect(wrongs('socket', looks, { truths, ...FORGOTTEN })).toEqual([]);
    expect(wrongs('socket', looks, { truths })).toEqual(['fell']);
    expect(wrongs('SDK', looks, { truths, ...FORGOTTEN })).toEqual(['fell']);
  });

  it('lets the progress of the whole job fall likewise, across attempts too', () => {
    const looks = [
      PENDING,
      { seq: 2000 },
      { seq: 2480, progress: 48, overall_progress: 48 },
      { ...AGAIN, overall_progress: 10 },
      { seq: 4000, attempt: 2, overall_progress: 10 },
      { ...END, overall_progress: 100 },
    ];
    expect(wrongs('socket', looks, FORGOTTEN)).toEqual([]);
    expect(wrongs('socket', looks)).toEqual(['fell']);
    expect(wrongs('SDK', looks, FORGOTTEN)).toEqual(['fell']);
    expect(wrongs('page', looks, FORGOTTEN)).toEqual(['fell']);
    const within = [...GOOD.slice(0, 2), { ...looks[2] }, { ...looks[2], overall_progress: 47 }];
    expect(wrongs('socket', [...within, END], FORGOTTEN)).toContain('fell');
  });

  it('sees progress that falls under one number, and an attempt that falls', () => {
    const same = [PENDING, { seq: 2000 }, { seq: 2480, progress: 48 }, { seq: 2480, progress: 40 }];
    expect(wrongs('socket', [...same, ...GOOD.slice(3)])).toEqual(['fell']);
    expect(wrongs('socket', [...GOOD.slice(0, 4), { seq: 4000 }, END])).toEqual(['fell']);
  });

  it.each([
    ['another state', { status: 'processing', seq: 5000, attempt: 2, progress: 100 }],
    ['a later number', { ...END, seq: 6000 }],
  ])('sees %s after the end', (_, look) => {
    expect(wrongs('socket', [...GOOD, look])).toEqual(['after the end']);
  });

  it('lets the end be told twice', () => {
    expect(wrongs('socket', [...GOOD, END])).toEqual([]);
  });

  it('sees another end than the job had', () => {
    const looks = [...GOOD.slice(0, -1), { ...END, status: 'error' }];
    expect(wrongs('socket', looks)).toEqual(['wrong end']);
  });

  it('sees a viewer that never learns of the end, or too late after all works again', () => {
    expect(wrongs('SDK', GOOD.slice(0, -1))).toEqual(['stuck']);
    expect(wrongs('SDK', [])).toEqual(['stuck']);
    const late = (at: number) => [...GOOD.slice(0, -1), { ...END, at }];
    expect(wrongs('SDK', late(HEALED + PATIENCE_MS))).toEqual([]);
    expect(wrongs('SDK', late(HEALED + PATIENCE_MS + 1))).toEqual(['stuck']);
  });

  it('counts from the arrival of who comes after the end', () => {
    const seen = { arrivedAt: HEALED + 100_000 };
    const looks = [{ ...END, at: HEALED + 100_000 + PATIENCE_MS + 1 }];
    expect(wrongs('plain GET', looks, { seen })).toEqual(['stuck']);
  });

  it('has a feed bring the end of all that it told of, and of all that ended while it was there', () => {
    const ofOther = { jobId: 'b', seq: 2000 };
    expect(wrongs('feed', [...GOOD, ofOther])).toEqual(['stuck']);
    expect(wrongs('feed', [{ ...END, jobId: 'b' }])).toEqual(['stuck']);
    expect(wrongs('feed', GOOD, { seen: { readyAt: null } })).toEqual(['stuck']);
    expect(wrongs('feed', GOOD, { seen: { readyAt: 3000 } })).toEqual(['stuck']);
  });

  it('sees a refusal', () => {
    expect(wrongs('stream', GOOD, { seen: { refusals: ['404'] } })).toEqual(['refused']);
  });
});

describe('the verdict on the jobs', () => {
  const evidence = (truth: Partial<Truth>): Evidence => ({
    truths: [{ ...TRUTH, ...truth }],
    forgotten: [],
    healedAt: HEALED,
  });

  it('is clean when all is well', () => {
    expect(judgeJobs(evidence({}))).toEqual([]);
  });

  it.each<[string, Partial<Truth>]>([
    ['it ended otherwise than planned', { planned: 'cancelled' }],
    ['D1 says something else', { row: { status: 'processing', seq: 4000 } }],
    ['D1 has no row', { row: null }],
    ['its log lacks the end', { changes: [1000, 2000, 3000, 4000] }],
  ])('says so when %s', (_, truth) => {
    expect(judgeJobs(evidence(truth))).toHaveLength(1);
  });
});
