// What every bench prints in the same way, so that its table can go into a page as it is.
import { availableParallelism, loadavg } from 'node:os';

/** Says what was measured, when, by which command, and how busy the machine was at that moment. */
export function heading(title: string, command: string): string {
  const date = new Date().toISOString().slice(0, 16).replace('T', ' ');
  const load = loadavg()[0] ?? 0;
  const machine = `${availableParallelism()} cores, load average ${load.toFixed(1)} before the start`;
  return `${title}\n\`${command}\`, ${date} UTC, Node ${process.versions.node}, ${machine}.\n`;
}

/** A Markdown table; all columns but the first hold figures. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = head.map((_, i) => Math.max(3, ...[head, ...rows].map((r) => r[i]?.length ?? 0)));
  const line = (cells: readonly string[]) =>
    `| ${cells.map((cell, i) => pad(cell, widths[i] ?? 0, i)).join(' | ')} |`;
  const rule = widths.map((width, i) => '-'.repeat(width - Number(i > 0)) + (i > 0 ? ':' : ''));
  return [line(head), line(rule), ...rows.map(line)].join('\n');
}

function pad(cell: string, width: number, column: number): string {
  return column === 0 ? cell.padEnd(width) : cell.padStart(width);
}

/** The middle of some figures, and between what they lie: `12.1 (11.9–13.0)`. */
export function spread(figures: readonly number[], digits: number): string {
  const middle = median(figures).toFixed(digits);
  if (figures.length < 2) return middle;
  const [least, most] = [Math.min(...figures), Math.max(...figures)];
  return `${middle} (${least.toFixed(digits)}–${most.toFixed(digits)})`;
}

/** The mean of the two middle ones when there is an even number. */
export function median(figures: readonly number[]): number {
  const sorted = figures.toSorted((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
  const lower = sorted[Math.ceil(sorted.length / 2) - 1] ?? Number.NaN;
  return (lower + upper) / 2;
}

/** A whole number for people: `1,000,000`. */
export function whole(figure: number): string {
  return figure.toLocaleString('en');
}
