// Responsible for everything that a run will do, drawn from one seed before it starts: the jobs, what
// their clients and viewers do, which calls go wrong, and what is broken when. Pure.
import type { ExportOptionsInput } from '@export-jobs/protocol';
import { Random } from './random.ts';

/** What can happen to one call on its way. */
export const CALL_FAULTS = [
  'dropped',
  'reply lost',
  'doubled',
  'delayed',
  'reordered',
  'answered 5xx',
  'done, answered 5xx',
  'request cut',
  'reply cut',
  'black hole',
] as const;
export type CallFault = (typeof CALL_FAULTS)[number];

/** What can happen to one operation of D1 or R2. */
export const STORE_FAULTS = ['error', 'done, then error', 'slow', 'timeout'] as const;
export type StoreFault = (typeof STORE_FAULTS)[number];

/** Where calls pass through a proxy. */
export const LINKS = [
  'renderer-worker',
  'worker-runpod',
  'renderer-runpod',
  'client-worker',
  'viewer-worker',
] as const;
export type Link = (typeof LINKS)[number];
export const STORES = ['d1', 'r2'] as const;
export type Store = (typeof STORES)[number];

/** Something that is broken at one moment. */
export type Blow = { readonly at: number } & (
  | { readonly kind: 'kill workerd' | 'kill workerd (front)' | 'kill renderer' }
  | { readonly kind: 'pause renderer' | 'outage of D1' | 'outage of R2'; readonly ms: number }
  | { readonly kind: 'kill encoder' | 'stop encoder' }
  | { readonly kind: 'cut connections'; readonly link: Link }
  | { readonly kind: 'partition'; readonly link: Link; readonly ms: number }
);

export interface ViewerPlan {
  /** How long it stays connected each time before it leaves, ms; the last time until the end. */
  readonly stays: readonly number[];
  readonly awayMs: number;
  /** Whether it says which event it saw last when it returns. */
  readonly resumes: boolean;
  /** Whether it comes once more after the end. */
  readonly returns: boolean;
}

export interface JobPlan {
  readonly key: string;
  readonly at: number;
  readonly source: 'short' | 'long' | 'broken';
  readonly options: ExportOptionsInput;
  /** When the same create is sent again, ms after the first. */
  readonly repeats: readonly number[];
  /** ms after it was accepted; null for never. */
  readonly cancelAfter: number | null;
  readonly viewers: readonly ViewerPlan[];
}

/** How often calls of a link, or operations of a store, go wrong, and how. */
export interface FaultRate<F extends string> {
  readonly rate: number;
  readonly kinds: readonly F[];
}

export interface Plan {
  readonly seed: number;
  /** From the first call until everything works again, ms. */
  readonly faultMs: number;
  readonly jobs: readonly JobPlan[];
  readonly blows: readonly Blow[];
  readonly links: Readonly<Record<Link, FaultRate<CallFault>>>;
  readonly stores: Readonly<Record<Store, FaultRate<StoreFault>>>;
}

/** Jobs come this often on average, ms. */
const PACE_MS = 900;
/** How long faults go on for each job: longer, so that the last jobs meet them too, ms. */
const FAULTS_PER_JOB_MS = 1500;
/** The times that the counts of blows below are meant for, ms. */
const REFERENCE_MS = 60_000;

/** Draws a run. */
export function planOf(seed: number, jobs: number): Plan {
  const random = new Random(`faults ${seed}`);
  const faultMs = Math.max(8000, jobs * FAULTS_PER_JOB_MS);
  const byRate = random.fork('rates');
  return {
    seed,
    faultMs,
    jobs: Array.from({ length: jobs }, (_, n) => jobOf(seed, n, random.fork(`job ${n}`))),
    blows: blowsOf(faultMs, random.fork('blows')),
    links: {
      'renderer-worker': callRate(byRate, 0.15, 0.35),
      'worker-runpod': callRate(byRate, 0.05, 0.2),
      'renderer-runpod': callRate(byRate, 0.05, 0.2),
      'client-worker': callRate(byRate, 0.1, 0.3),
      'viewer-worker': callRate(byRate, 0.05, 0.2),
    },
    stores: { d1: storeRate(byRate), r2: storeRate(byRate) },
  };
}

function jobOf(seed: number, n: number, random: Random): JobPlan {
  const source = random.chance(0.06) ? 'broken' : random.chance(0.3) ? 'long' : 'short';
  const slow = { container: 'webm', codec: 'vp9', width: 480, height: 270 } as const;
  const quick = random.chance(0.2) ? ({ container: 'webm' } as const) : {};
  return {
    key: `seed-${seed}-job-${n}`,
    at: n * PACE_MS + random.between(0, PACE_MS),
    source,
    options: source === 'long' ? slow : quick,
    repeats: random.chance(0.4)
      ? Array.from({ length: random.integer(1, 3) }, () =>
          random.pick([0, random.integer(1, 8000)]),
        )
      : [],
    cancelAfter: random.chance(0.14) ? random.between(0, 8000) : null,
    viewers: Array.from({ length: random.pick([0, 1, 1, 2]) }, () => viewerOf(random)),
  };
}

function viewerOf(random: Random): ViewerPlan {
  const flaps = random.pick([0, 1, 3, 8]);
  return {
    stays: Array.from({ length: flaps }, () => random.between(50, 3000)),
    awayMs: random.between(10, 1500),
    resumes: random.chance(0.7),
    returns: random.chance(0.3),
  };
}

/** How often each happens in a minute. */
const BLOWS: readonly (readonly [Blow['kind'], number])[] = [
  ['kill workerd', 1],
  ['kill workerd (front)', 0.4],
  ['kill renderer', 3],
  ['pause renderer', 3],
  ['kill encoder', 5],
  ['stop encoder', 4],
  ['cut connections', 5],
  ['partition', 3],
  ['outage of D1', 1.5],
  ['outage of R2', 1.5],
];

function blowsOf(faultMs: number, random: Random): Blow[] {
  const blows = BLOWS.flatMap(([kind, perMinute]) => {
    // Of each class none, some, or many, as the seed has it.
    const expected = (perMinute * faultMs * random.between(0.3, 1.7)) / REFERENCE_MS;
    const count = Math.floor(expected) + (random.chance(expected % 1) ? 1 : 0);
    return Array.from({ length: count }, () => blowOf(kind, faultMs, random));
  });
  return blows.toSorted((a, b) => a.at - b.at);
}

function blowOf(kind: Blow['kind'], faultMs: number, random: Random): Blow {
  const at = Math.round(random.between(1000, faultMs * 0.95));
  switch (kind) {
    case 'cut connections':
      return { at, kind, link: random.pick(LINKS) };
    case 'partition':
      return { at, kind, link: random.pick(LINKS), ms: random.integer(1000, 9000) };
    case 'pause renderer':
    case 'outage of D1':
    case 'outage of R2':
      return { at, kind, ms: random.integer(1500, 9000) };
    case 'kill workerd':
    case 'kill workerd (front)':
    case 'kill renderer':
    case 'kill encoder':
    case 'stop encoder':
      return { at, kind };
  }
}

function callRate(random: Random, from: number, to: number): FaultRate<CallFault> {
  return { rate: random.between(from, to), kinds: swarm(CALL_FAULTS, random) };
}

function storeRate(random: Random): FaultRate<StoreFault> {
  return { rate: random.between(0.02, 0.12), kinds: swarm(STORE_FAULTS, random) };
}

/** Each class on or off: what is rare beside everything else shows when it is nearly alone. */
function swarm<F>(all: readonly F[], random: Random): F[] {
  const on = all.filter(() => random.chance(0.75));
  return on.length > 0 ? on : [...all];
}
