// Responsible for how runs are shown.
import { paint } from '../scripts/lib/terminal.ts';
import { INVARIANTS, type Violation } from './check.ts';
import type { Plan } from './plan.ts';
import type { RunResult } from './run.ts';

/** Violations of one kind that are shown in full for each run. */
const SHOWN = 3;

/** What a seed has drawn. */
export function describePlan({ seed, faultMs, jobs, blows, links, stores }: Plan): string {
  const rates = [...Object.entries(links), ...Object.entries(stores)].map(
    ([name, { rate, kinds }]) => `  ${name} ${(rate * 100).toFixed(0)} %: ${kinds.join(', ')}`,
  );
  const strikes = blows.map(({ at, kind, ...rest }) =>
    `  ${(at / 1000).toFixed(1)} s ${kind} ${Object.values(rest).join(' ')}`.trimEnd(),
  );
  const people = jobs.map(({ key, at, source, repeats, cancelAfter, viewers }) => {
    const cancelled = cancelAfter === null ? '' : `, cancelled after ${Math.round(cancelAfter)} ms`;
    return `  ${(at / 1000).toFixed(1)} s ${key}: ${source}, ${repeats.length} repeats, ${viewers.length} viewers${cancelled}`;
  });
  const head = `seed ${seed}: ${jobs.length} jobs, faults for ${faultMs / 1000} s`;
  return [head, ...rates, ...strikes, ...people].join('\n');
}

/** One run: how its jobs ended, and what did not hold. */
export function describeRun(run: RunResult): string {
  const { system, seed, violations, faults, ends, settledMs, tookMs } = run;
  const mark = violations.length === 0 ? paint('green', '✓') : paint('red', '✗');
  const ended = [...ends].map(([end, count]) => `${count} ${end}`).join(', ');
  const settled = settledMs === null ? 'never settled' : `settled after ${seconds(settledMs)}`;
  const head = `${mark} ${system}, seed ${seed}: ${sum(faults)} faults; ${ended}; ${settled}; ${seconds(tookMs)} in all; ${violations.length} violations`;
  const lines = INVARIANTS.flatMap((invariant) => {
    const these = violations.filter((violation) => violation.invariant === invariant);
    const rest = these.length > SHOWN ? [`    ${invariant}: ${these.length - SHOWN} more`] : [];
    return [...these.slice(0, SHOWN).map(describeViolation), ...rest];
  });
  return [head, ...lines].join('\n');
}

function describeViolation({ invariant, about, detail }: Violation): string {
  return `    ${invariant}: ${about}: ${detail}`;
}

/** All runs together, a column for each system. */
export function describeRuns(runs: readonly RunResult[]): string {
  const systems = [...new Set(runs.map(({ system }) => system))];
  const of = (system: string) => runs.filter((run) => run.system === system);
  const columns = (values: (runs: readonly RunResult[]) => number | string) =>
    systems.map((system) => `${values(of(system))}`);
  const total = (name: string, pick: (run: RunResult) => ReadonlyMap<string, number>) =>
    columns((some) => some.reduce((all, run) => all + (pick(run).get(name) ?? 0), 0));
  const names = (pick: (run: RunResult) => ReadonlyMap<string, number>) =>
    [...new Set(runs.flatMap((run) => [...pick(run).keys()]))].toSorted();
  return grid([
    ['', ...systems],
    ['runs', ...columns((some) => some.length)],
    ['FAULTS INJECTED', ...columns((some) => some.reduce((n, { faults }) => n + sum(faults), 0))],
    ...names(byClass).map((name) => [`  ${name}`, ...total(name, byClass)]),
    ['WHERE'],
    ...names(byPlace).map((name) => [`  ${name}`, ...total(name, byPlace)]),
    ['JOBS BY END', ...columns((some) => some.reduce((n, { ends }) => n + sum(ends), 0))],
    ...names(({ ends }) => ends).map((name) => [`  ${name}`, ...total(name, ({ ends }) => ends)]),
    ['OBSERVED'],
    ...names(({ seen }) => seen).map((name) => [`  ${name}`, ...total(name, ({ seen }) => seen)]),
    ['slowest to settle', ...columns(slowest)],
    ['VIOLATIONS', ...columns((some) => some.reduce((n, run) => n + run.violations.length, 0))],
    ...INVARIANTS.map((invariant) => [
      `  ${invariant}`,
      ...columns(
        (some) =>
          some.flatMap((run) => run.violations).filter((v) => v.invariant === invariant).length,
      ),
    ]),
  ]);
}

/** Faults of calls and stores by what happened, wherever it was. */
function byClass({ faults }: RunResult): Map<string, number> {
  return grouped(faults, (name) =>
    name.replace(/^(d1|r2): /, 'store: ').replace(/^\w+-\w+: /, 'call: '),
  );
}

/** The same faults by where they happened. */
function byPlace({ faults }: RunResult): Map<string, number> {
  return grouped(faults, (name) =>
    name.split(': ')[1] === undefined ? 'processes and connections' : (name.split(': ')[0] ?? name),
  );
}

function grouped(
  counts: ReadonlyMap<string, number>,
  nameOf: (name: string) => string,
): Map<string, number> {
  const groups = new Map<string, number>();
  for (const [name, count] of counts) {
    groups.set(nameOf(name), (groups.get(nameOf(name)) ?? 0) + count);
  }
  return groups;
}

function slowest(runs: readonly RunResult[]): string {
  const times = runs.map(({ settledMs }) => settledMs ?? Infinity);
  const longest = Math.max(0, ...times);
  return Number.isFinite(longest) ? seconds(longest) : 'never';
}

function grid(rows: readonly (readonly string[])[]): string {
  const label = Math.max(...rows.map(([first = '']) => first.length));
  return rows
    .map(([first = '', ...cells]) =>
      [first.padEnd(label), ...cells.map((cell) => cell.padStart(8))].join('  ').trimEnd(),
    )
    .join('\n');
}

function sum(counts: ReadonlyMap<string, number>): number {
  return [...counts.values()].reduce((a, b) => a + b, 0);
}

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}
