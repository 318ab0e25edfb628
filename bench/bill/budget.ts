import { eachUnit } from './prices.ts';
import type { Counts, Unit } from './prices.ts';
import type { ProfileName } from './profiles.ts';

/**
 * What one job may use at most. Who makes a job cheaper lowers its budget with it; a budget that must
 * be raised is a price that goes up for everyone.
 */
export const BUDGET: Readonly<Record<Unit, Readonly<Record<ProfileName, number>>>> = {
  workerRequests: {
    standard: 611,
    unwatched: 129,
    crowded: 659,
    short: 31,
    retried: 1217,
    queued: 31,
  },
  workerCpuMs: {
    standard: 611,
    unwatched: 129,
    crowded: 659,
    short: 31,
    retried: 1217,
    queued: 31,
  },
  objectRequests: {
    standard: 627.1,
    unwatched: 148,
    crowded: 725.5,
    short: 33.1,
    retried: 1253.1,
    queued: 63.1,
  },
  objectMs: {
    standard: 2592,
    unwatched: 1149,
    crowded: 3024,
    short: 640,
    retried: 6026,
    queued: 12764,
  },
  objectRowsWritten: {
    standard: 671,
    unwatched: 201,
    crowded: 671,
    short: 53,
    retried: 1364,
    queued: 123,
  },
  objectRowsRead: {
    standard: 2565,
    unwatched: 660,
    crowded: 2565,
    short: 167,
    retried: 5194,
    queued: 421,
  },
  d1RowsWritten: { standard: 33, unwatched: 33, crowded: 33, short: 13, retried: 73, queued: 17 },
  d1RowsRead: { standard: 40, unwatched: 40, crowded: 40, short: 10, retried: 72, queued: 40 },
  r2ClassA: { standard: 4, unwatched: 4, crowded: 4, short: 4, retried: 5, queued: 4 },
  r2ClassB: { standard: 6, unwatched: 6, crowded: 6, short: 6, retried: 10, queued: 6 },
  logEvents: { standard: 0, unwatched: 0, crowded: 0, short: 0, retried: 0, queued: 0 },
};

const nothing = eachUnit(() => 0);

/**
 * The least that is imaginable: a job is created, ends and is forgotten, nobody watches, nothing is
 * reported, and of its files only the output is paid for, once stored and once looked at.
 */
export const FLOOR: Counts = {
  ...nothing,
  workerRequests: 3,
  workerCpuMs: 3,
  objectRequests: 3,
  objectMs: 9,
  objectRowsWritten: 3,
  d1RowsWritten: 2,
  r2ClassA: 1,
  r2ClassB: 1,
};

/** The same when its files go through the Worker: the input in and out, the output in and out. */
export const FLOOR_WITH_FILES: Counts = {
  ...FLOOR,
  workerRequests: 6,
  workerCpuMs: 6,
  r2ClassA: 2,
  r2ClassB: 3,
};
