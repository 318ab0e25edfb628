// `node bench/bill/run.ts`: what one job costs on Cloudflare, beside the naive sketch and beside the
// least that is imaginable.
import path from 'node:path';
import { startVitest } from 'vitest/node';
import type { TestCase } from 'vitest/node';
import { FLOOR, FLOOR_WITH_FILES } from './budget.ts';
import { PRICES, UNITS, dollars } from './prices.ts';
import type { Counts, Unit } from './prices.ts';
import { ASSUMED_MS } from './tally.ts';

const LABELS: Readonly<Record<Unit, string>> = {
  workerRequests: 'requests',
  workerCpuMs: 'CPU ms',
  objectRequests: 'object',
  objectMs: 'awake ms',
  objectRowsWritten: 'rows w',
  objectRowsRead: 'rows r',
  d1RowsWritten: 'D1 w',
  d1RowsRead: 'D1 r',
  r2ClassA: 'R2 A',
  r2ClassB: 'R2 B',
  logEvents: 'logs',
};
type Bill = NonNullable<ReturnType<TestCase['meta']>['bill']>;

/** Causes that cost less than this are not listed, dollars for a million jobs. */
const LEAST = 0.3;

const config = path.join(import.meta.dirname, 'vitest.config.ts');
const cases: TestCase[] = [];
const onTestCaseResult = (test: TestCase) => {
  cases.push(test);
};
const vitest = await startVitest([], { config, watch: false, reporters: [{ onTestCaseResult }] });
await vitest.close();

console.log('What one job uses, and dollars for a million jobs (beyond what the plan includes)\n');
console.log(row('', [...UNITS.map((unit) => LABELS[unit]), '$']));
for (const test of cases) {
  const { bill } = test.meta();
  if (bill) console.log(line(`${test.ok() ? ' ' : '✗'} ${bill.label}`, bill.counts));
}
for (const test of cases) {
  const { bill } = test.meta();
  if (bill?.label.startsWith('standard')) {
    console.log(line(`  ${bill.label}, without its upload`, withoutUpload(bill)));
  }
}
console.log(line('  the least with its files', FLOOR_WITH_FILES));
console.log(line('  the least that is imaginable', FLOOR));

const standard = cases.find(({ name }) => name === 'standard')?.meta().bill;
if (standard) {
  console.log('\nWhat the standard job pays for, dollars for a million jobs\n');
  for (const [label, n, cost] of costs(standard.causes)) {
    console.log(row(label, [String(n), cost.toFixed(2)]));
  }
}

/** The same job without what bringing its input up has cost: one upload can serve many exports. */
function withoutUpload({ counts, causes }: Bill): Counts {
  const of = (unit: Unit, pattern: RegExp) =>
    Object.entries(causes[unit]).reduce((n, [cause, m]) => (pattern.test(cause) ? n + m : n), 0);
  const requests = of('workerRequests', /^(POST|PUT) \/api\/uploads/);
  return {
    ...counts,
    workerRequests: counts.workerRequests - requests,
    workerCpuMs: counts.workerCpuMs - requests * ASSUMED_MS.workerCpu,
    d1RowsWritten: counts.d1RowsWritten - of('d1RowsWritten', /export_upload_bytes/),
    d1RowsRead: counts.d1RowsRead - of('d1RowsRead', /INSERT export_upload_bytes/),
    r2ClassA: counts.r2ClassA - of('r2ClassA', / put (in|uploads)\//),
  };
}

function costs(causes: Readonly<Record<Unit, Record<string, number>>>) {
  return UNITS.flatMap((unit) =>
    Object.entries(causes[unit]).map(
      ([cause, n]) => [`${LABELS[unit]}: ${cause}`, n, n * PRICES[unit].perMillion] as const,
    ),
  )
    .filter(([, , cost]) => cost >= LEAST)
    .toSorted((a, b) => b[2] - a[2]);
}

function line(name: string, counts: Counts): string {
  return row(name, [...UNITS.map((unit) => String(counts[unit])), dollars(counts).toFixed(0)]);
}

function row(name: string, cells: readonly string[]): string {
  return [name.slice(0, 46).padEnd(46), ...cells.map((cell) => cell.padStart(9))].join('');
}
