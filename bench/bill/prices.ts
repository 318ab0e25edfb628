// What Cloudflare bills for, on the Workers Paid plan, beyond what the plan includes.

/** Everything that is counted, in the order of the bill. */
export const UNITS = [
  'workerRequests',
  'workerCpuMs',
  'objectRequests',
  'objectMs',
  'objectRowsWritten',
  'objectRowsRead',
  'd1RowsWritten',
  'd1RowsRead',
  'r2ClassA',
  'r2ClassB',
  'logEvents',
] as const;
export type Unit = (typeof UNITS)[number];

/** So many messages that reach an object by WebSocket are billed as one request. */
export const MESSAGES_PER_REQUEST = 20;
/** An object is billed as if it had this much memory, GB. */
const OBJECT_GB = 0.128;

interface Price {
  /** Dollars for a million of the unit. */
  readonly perMillion: number;
  readonly source: string;
}

const DOCS = 'developers.cloudflare.com';
/** As of November 2026, by the text of these pages in github.com/cloudflare/cloudflare-docs. */
export const PRICES: Readonly<Record<Unit, Price>> = {
  workerRequests: { perMillion: 0.3, source: `${DOCS}/workers/platform/pricing` },
  workerCpuMs: { perMillion: 0.02, source: `${DOCS}/workers/platform/pricing` },
  // HTTP requests, RPC calls, alarms, and messages at their own rate.
  objectRequests: { perMillion: 0.15, source: `${DOCS}/durable-objects/platform/pricing` },
  // 12.50 for a million GB-s.
  objectMs: {
    perMillion: (12.5 * OBJECT_GB) / 1000,
    source: `${DOCS}/durable-objects/platform/pricing`,
  },
  // Deletes and key-value calls are rows too, and each setAlarm() is one.
  objectRowsWritten: { perMillion: 1, source: `${DOCS}/durable-objects/platform/pricing` },
  objectRowsRead: { perMillion: 0.001, source: `${DOCS}/durable-objects/platform/pricing` },
  d1RowsWritten: { perMillion: 1, source: `${DOCS}/d1/platform/pricing` },
  d1RowsRead: { perMillion: 0.001, source: `${DOCS}/d1/platform/pricing` },
  r2ClassA: { perMillion: 4.5, source: `${DOCS}/r2/pricing` },
  r2ClassB: { perMillion: 0.36, source: `${DOCS}/r2/pricing` },
  // Each invocation of a Worker or an object is one event while invocation logs are on.
  logEvents: { perMillion: 0.6, source: `${DOCS}/workers/observability/logs/workers-logs` },
};

/** How often each unit was used by one job. */
export type Counts = Readonly<Record<Unit, number>>;

/** Dollars for a million such jobs. */
export function dollars(counts: Counts): number {
  return UNITS.reduce((sum, unit) => sum + counts[unit] * PRICES[unit].perMillion, 0);
}

/** One value for each unit. */
export function eachUnit<T>(valueOf: (unit: Unit) => T): Record<Unit, T> {
  return {
    workerRequests: valueOf('workerRequests'),
    workerCpuMs: valueOf('workerCpuMs'),
    objectRequests: valueOf('objectRequests'),
    objectMs: valueOf('objectMs'),
    objectRowsWritten: valueOf('objectRowsWritten'),
    objectRowsRead: valueOf('objectRowsRead'),
    d1RowsWritten: valueOf('d1RowsWritten'),
    d1RowsRead: valueOf('d1RowsRead'),
    r2ClassA: valueOf('r2ClassA'),
    r2ClassB: valueOf('r2ClassB'),
    logEvents: valueOf('logEvents'),
  };
}
