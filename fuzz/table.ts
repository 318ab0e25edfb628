// Responsible for how runs are shown.
import { paint } from '../scripts/lib/terminal.ts';
import type { Row, RunResult } from './run.ts';

/** Faults that are shown in full. */
const SHOWN = 30;

/** One run: a row for each kind of input, and what did not hold. */
export function describeRun(run: RunResult): string {
  const { mode, seed, inputs, rows, rateLimited, faults, memory, tookMs } = run;
  const mark = faults.length === 0 ? paint('green', '✓') : paint('red', '✗');
  const sorted = [...rows].toSorted(([a], [b]) => a.localeCompare(b));
  const table = grid([
    ['', 'inputs', 'answered', 'slowest', 'ends'],
    ...sorted.map(([kind, row]) => cellsOf(kind, row)),
  ]);
  const limited = `${rateLimited} rate limited`;
  const held = `memory ${mib(memory.first)} in the first half, ${mib(memory.second)} in the second`;
  const head = `${mark} ${mode}, seed ${seed}: ${inputs} inputs, ${limited}; ${held}; ${(tookMs / 1000).toFixed(0)} s; ${faults.length} faults`;
  const more = faults.length > SHOWN ? [`    and ${faults.length - SHOWN} more`] : [];
  const shown = faults.slice(0, SHOWN).map((fault) => `    ${fault}`);
  return [table, head, ...shown, ...more].join('\n');
}

function cellsOf(kind: string, { inputs, answered, slowestMs, ends }: Row): string[] {
  const most = [...ends].toSorted(([, a], [, b]) => b - a);
  const all = most.map(([end, count]) => `${end} × ${count}`).join(', ');
  return [kind, `${inputs}`, `${answered}`, `${Math.round(slowestMs)} ms`, all];
}

function grid(rows: readonly (readonly string[])[]): string {
  const widths = [0, 1, 2, 3].map((column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map(([first = '', ...cells]) =>
      [
        first.padEnd(widths[0] ?? 0),
        ...cells.map((cell, n) => (n < 3 ? cell.padStart(widths[n + 1] ?? 0) : cell)),
      ]
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

function mib(bytes: number): string {
  return `${(bytes / 1024 ** 2).toFixed(0)} MiB`;
}
