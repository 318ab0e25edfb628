import { eachUnit } from './prices.ts';
import type { Counts, Unit } from './prices.ts';
import type { ProfileName } from './profiles.ts';

/**
 * What one job may use at most. Who makes a job cheaper lowers its budget with it; a budget that must
 * be raised is a price that goes up for everyone.
 */
export const BUDGET: Readonly<Record<Unit, Readonly<Record<ProfileName, number>>>> = {
  workerRequests: {
    standard: 10,
    unwatched: 9,
    crowded: 58,
    short: 10,
    retried: 16,
    queued: 10,
    posted: 610,
  },
  workerCpuMs: {
    standard: 10,
    unwatched: 9,
    crowded: 58,
    short: 10,
    retried: 16,
    queued: 10,
    posted: 610,
  },
  objectRequests: {
    standard: 45.95,
    unwatched: 16.1,
    crowded: 96.35,
    short: 14.2,
    retried: 94.95,
    queued: 20.2,
    posted: 621.1,
  },
  objectMs: {
    standard: 1071,
    unwatched: 487,
    crowded: 1359,
    short: 470,
    retried: 3117,
    queued: 2905,
    posted: 2287,
  },
  objectRowsWritten: {
    standard: 11,
    unwatched: 11,
    crowded: 11,
    short: 8,
    retried: 32,
    queued: 20,
    posted: 21,
  },
  objectRowsRead: {
    standard: 9,
    unwatched: 47,
    crowded: 9,
    short: 9,
    retried: 19,
    queued: 19,
    posted: 9,
  },
  // One of them counts the upload against its owner's day, which nothing else could do exactly.
  d1RowsWritten: {
    standard: 8,
    unwatched: 8,
    crowded: 8,
    short: 8,
    retried: 21,
    queued: 8,
    posted: 8,
  },
  // The hours of that day are some thirty of them. Each sweep looks for older ones, for parts of files that nobody
  // finished and for deleted jobs: a row each minute, however many jobs there are.
  d1RowsRead: {
    // Two more than the others: the first job of an isolate asks how fast such exports were.
    standard: 135,
    unwatched: 133,
    crowded: 133,
    short: 53,
    retried: 216,
    queued: 133,
    posted: 133,
  },
  r2ClassA: {
    standard: 2,
    unwatched: 2,
    crowded: 2,
    short: 2,
    retried: 2,
    queued: 2,
    posted: 2,
  },
  r2ClassB: {
    standard: 4,
    unwatched: 4,
    crowded: 4,
    short: 4,
    retried: 6,
    queued: 4,
    posted: 4,
  },
  logEvents: {
    standard: 0,
    unwatched: 0,
    crowded: 0,
    short: 0,
    retried: 0,
    queued: 0,
    posted: 0,
  },
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
