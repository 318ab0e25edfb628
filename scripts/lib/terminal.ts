// Responsible for how the commands look on a terminal, and on what is none.
import { stderr, stdout } from 'node:process';

const COLOURS = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33 } as const;
export type Colour = keyof typeof COLOURS;

/** Colours a text, when stdout is a terminal and NO_COLOR is not set. */
export function paint(colour: Colour, text: string): string {
  const wanted = stdout.isTTY && !process.env['NO_COLOR'];
  return wanted ? `\x1b[${COLOURS[colour]}m${text}\x1b[0m` : text;
}

/** Lines of `label  text`, the texts under each other. */
export function table(rows: readonly (readonly [label: string, text: string])[]): string {
  const width = Math.max(0, ...rows.map(([label]) => label.length));
  return rows.map(([label, text]) => `  ${paint('dim', label.padEnd(width))}  ${text}`).join('\n');
}

/** Bytes as people read them: `12.3 MB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'kB', 'MB', 'GB', 'TB'];
  const power = Math.min(units.length - 1, Math.floor(Math.log10(Math.max(1, bytes)) / 3));
  const value = bytes / 1000 ** power;
  return `${power === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[power]}`;
}

/** The bar itself: `████░░░░  42 %  rendering`. */
export function bar(percent: number, label: string, width = 30): string {
  const full = Math.floor((Math.min(100, Math.max(0, percent)) / 100) * width);
  const cells = '█'.repeat(full) + '░'.repeat(width - full);
  return `${cells} ${String(Math.floor(percent)).padStart(3)} %  ${label}`;
}

/**
 * Shows progress on stderr: one line that is written over on a terminal, elsewhere a plain line for
 * each new label and each further tenth.
 */
export class Progress {
  #shown = '';
  #lastTenth = -1;
  #lastLabel = '';

  show(percent: number, label: string): void {
    if (stderr.isTTY) {
      const line = bar(percent, label);
      if (line !== this.#shown) stderr.write(`\r\x1b[2K${line}`);
      this.#shown = line;
      return;
    }
    const tenth = Math.floor(percent / 10);
    if (label === this.#lastLabel && tenth === this.#lastTenth) return;
    this.#lastLabel = label;
    this.#lastTenth = tenth;
    stderr.write(`${Math.floor(percent)} %  ${label}\n`);
  }

  /** Leaves the terminal's line to whoever writes next. */
  end(): void {
    if (stderr.isTTY && this.#shown) stderr.write('\n');
    this.#shown = '';
  }
}
