// Responsible for everything that a run of the viewers' suite will do, drawn from one seed before it
// starts: what becomes of the jobs, who watches how, and what is broken when. Pure.
import { Random } from '../random.ts';

/** Every way to watch that there is. */
export const TRANSPORTS = [
  'socket',
  'stream',
  'long poll',
  'plain GET',
  'SDK',
  'SDK without sockets',
  'SDK with polls only',
  'feed',
] as const;
export type Transport = (typeof TRANSPORTS)[number];

/** What happens to the connections of one viewer, from some moment on; times in ms. */
export type WireFault = { readonly at: number } & (
  | { readonly kind: 'cut' }
  /** What is open stays open, and carries nothing ever again. */
  | { readonly kind: 'freeze' }
  /** New connections are reset, swallowed, or answered with a 503. */
  | { readonly kind: 'refuse' | 'swallow' | 'unavailable'; readonly ms: number }
  | { readonly kind: 'delay'; readonly ms: number; readonly byMs: number }
  /** Everything comes in small pieces, slowly. */
  | { readonly kind: 'trickle'; readonly ms: number }
);

export interface ViewerPlan {
  readonly name: string;
  readonly transport: Transport;
  /** Which job, counted from 0; a feed shows all. */
  readonly job: number;
  readonly arrivesAt: number;
  /** When it goes away by itself, and comes back where it was. */
  readonly breaks: readonly { readonly at: number; readonly ms: number }[];
  /** Whether it looks again after the end. */
  readonly returns: boolean;
  /** Whether the SDK's own times are in force, or shorter ones. */
  readonly patient: boolean;
  readonly faults: readonly WireFault[];
}

/** What happens to a page, for so long (ms). */
export interface PageTrouble {
  readonly at: number;
  readonly kind: 'hide' | 'freeze page' | 'offline';
  readonly ms: number;
}

/** A viewer that is a page in the browser of a laptop. */
export interface PagePlan {
  readonly name: string;
  readonly job: number;
  readonly arrivesAt: number;
  readonly troubles: readonly PageTrouble[];
  readonly faults: readonly WireFault[];
}

/** How a renderer spends an attempt. */
export interface AttemptPlan {
  readonly way: 'socket' | 'post';
  readonly ms: number;
  /** `fail` may be tried again, `give up` not; who vanishes says nothing any more. */
  readonly end: 'complete' | 'fail' | 'give up' | 'vanish';
}

export interface JobPlan {
  /** When its first renderer is there. */
  readonly startsAt: number;
  /** The last one is also that of every further attempt. */
  readonly attempts: readonly [AttemptPlan, ...AttemptPlan[]];
  readonly cancelAt: number | null;
  /** How it must end, whatever is broken meanwhile. */
  readonly end: 'complete' | 'error' | 'cancelled';
}

/** What happens to the server. */
export type Blow = { readonly at: number } & (
  | { readonly kind: 'kill'; readonly downMs: number }
  | { readonly kind: 'deploy' }
  | { readonly kind: 'evict'; readonly job: number; readonly sockets: 'hibernate' | 'close' }
  | { readonly kind: 'evict feed' }
  /** Not of the server: the laptop with the pages sleeps. */
  | { readonly kind: 'sleep'; readonly ms: number }
);

export interface ViewersPlan {
  readonly seed: number;
  /** From the first viewer until everything works again. */
  readonly faultMs: number;
  readonly jobs: readonly JobPlan[];
  readonly viewers: readonly ViewerPlan[];
  readonly pages: readonly PagePlan[];
  readonly blows: readonly Blow[];
}

export interface Size {
  readonly jobs: number;
  readonly viewers: number;
  /** Beside these; 0 needs no browser. */
  readonly pages: number;
  readonly faultMs: number;
}
export const WHOLE: Size = { jobs: 20, viewers: 200, pages: 10, faultMs: 45_000 };

/** Draws a run. */
export function viewersPlanOf(seed: number, { jobs, viewers, pages, faultMs }: Size): ViewersPlan {
  const random = new Random(`viewers ${seed}`);
  return {
    seed,
    faultMs,
    jobs: Array.from({ length: jobs }, (_, n) => jobOf(n, faultMs, random.fork(`job ${n}`))),
    viewers: Array.from({ length: viewers }, (_, n) =>
      viewerOf(n, jobs, faultMs, random.fork(`viewer ${n}`)),
    ),
    pages: Array.from({ length: pages }, (_, n) =>
      pageOf(n, jobs, faultMs, random.fork(`page ${n}`)),
    ),
    blows: [
      ...blowsOf(jobs, faultMs, random.fork('blows')),
      ...(pages > 0 ? sleepsOf(faultMs, random.fork('sleeps')) : []),
    ],
  };
}

/** The lives of jobs, each as likely as it stands here. */
const LIVES: readonly (readonly [JobPlan['end'], readonly AttemptPlan['end'][]])[] = [
  ['complete', ['complete']],
  ['complete', ['complete']],
  ['complete', ['fail', 'complete']],
  ['complete', ['vanish', 'complete']],
  ['error', ['fail', 'fail', 'fail']],
  ['error', ['give up']],
  ['error', ['fail', 'give up']],
  ['cancelled', ['complete']],
  ['cancelled', ['fail', 'complete']],
];

function jobOf(n: number, faultMs: number, random: Random): JobPlan {
  // In turn, so that each life is there in every run that has as many jobs.
  const [end, ends] = LIVES[n % LIVES.length] ?? LIVES[0] ?? ['complete', ['complete']];
  const startsAt = random.between(0, faultMs * 0.15);
  // Some end while everything is broken, some after it.
  const lifeMs = faultMs * random.between(0.35, 1.1);
  const attempt = (end: AttemptPlan['end']): AttemptPlan => ({
    way: random.chance(0.6) ? 'socket' : 'post',
    ms: lifeMs / ends.length,
    end,
  });
  const [first = 'complete', ...more] = ends;
  const attempts = [attempt(first), ...more.map(attempt)] as const;
  const cancelAt = end === 'cancelled' ? startsAt + lifeMs * random.between(0.4, 0.9) : null;
  return { startsAt, attempts, cancelAt, end };
}

function viewerOf(n: number, jobs: number, faultMs: number, random: Random): ViewerPlan {
  const transport = TRANSPORTS[n % TRANSPORTS.length] ?? 'socket';
  const arrivesAt = arrivalOf(faultMs, random);
  return {
    name: `${transport} ${n}`,
    transport,
    job: random.integer(0, jobs - 1),
    arrivesAt,
    breaks: random.chance(0.25) ? [breakOf(arrivesAt, faultMs, random)] : [],
    returns: random.chance(0.4),
    patient: random.chance(0.4),
    faults: wireFaultsOf(faultMs, random),
  };
}

function pageOf(n: number, jobs: number, faultMs: number, random: Random): PagePlan {
  const trouble = (): PageTrouble => ({
    at: random.between(faultMs * 0.1, faultMs * 0.9),
    kind: random.pick(['hide', 'freeze page', 'offline']),
    ms: random.between(1000, faultMs * 0.3),
  });
  return {
    name: `page ${n}`,
    job: random.integer(0, jobs - 1),
    arrivesAt: random.between(0, faultMs * 0.1),
    troubles: [trouble(), trouble()],
    faults: random.chance(0.5) ? wireFaultsOf(faultMs, random) : [],
  };
}

function sleepsOf(faultMs: number, random: Random): Blow[] {
  const sleep = (from: number, to: number): Blow => ({
    at: faultMs * random.between(from, to),
    kind: 'sleep',
    ms: faultMs * random.between(0.1, 0.2),
  });
  return [sleep(0.15, 0.3), sleep(0.55, 0.7)];
}

/** Most are there from the beginning, some come in the middle, some when much is over. */
function arrivalOf(faultMs: number, random: Random): number {
  const when = random.next();
  if (when < 0.6) return random.between(0, faultMs * 0.07);
  if (when < 0.85) return random.between(0, faultMs * 0.8);
  return faultMs * random.between(0.9, 1.25);
}

function breakOf(arrivesAt: number, faultMs: number, random: Random) {
  const at = Math.max(arrivesAt + 500, random.between(0, faultMs * 0.8));
  return { at, ms: random.between(500, faultMs * 0.2) };
}

function wireFaultsOf(faultMs: number, random: Random): WireFault[] {
  const count = random.pick([0, 1, 2, 3, 5]);
  const faults = Array.from({ length: count }, () => wireFaultOf(faultMs, random));
  return faults.toSorted((a, b) => a.at - b.at);
}

function wireFaultOf(faultMs: number, random: Random): WireFault {
  const at = random.between(0, faultMs * 0.97);
  const ms = random.between(500, 7000);
  const kinds = ['cut', 'cut', 'freeze', 'freeze', 'refuse', 'swallow', 'unavailable'] as const;
  const kind = random.pick([...kinds, 'delay', 'trickle'] as const);
  if (kind === 'cut' || kind === 'freeze') return { at, kind };
  return kind === 'delay' ? { at, kind, ms, byMs: random.between(100, 3000) } : { at, kind, ms };
}

function blowsOf(jobs: number, faultMs: number, random: Random): Blow[] {
  // Apart, so that each meets a server that works.
  const restarts = random.integer(3, 4);
  const slot = (faultMs * 0.9) / restarts;
  const deployed = random.integer(0, restarts - 1);
  const blows = Array.from({ length: restarts }, (_, n): Blow => {
    const at = slot * (n + random.between(0.2, 0.8));
    if (n === deployed) return { at, kind: 'deploy' };
    return { at, kind: 'kill', downMs: random.pick([0, random.between(0, 3000)]) };
  });
  const evictions = Array.from({ length: jobs * 2 }, (): Blow => {
    const sockets = random.chance(0.8) ? 'hibernate' : 'close';
    const at = random.between(1000, faultMs * 0.97);
    return { at, kind: 'evict', job: random.integer(0, jobs - 1), sockets };
  });
  const ofFeed = Array.from({ length: 3 }, (): Blow => {
    return { at: random.between(1000, faultMs * 0.97), kind: 'evict feed' };
  });
  return [...blows, ...evictions, ...ofFeed].toSorted((a, b) => a.at - b.at);
}
