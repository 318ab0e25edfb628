// Responsible for how the commands look on a terminal, and on what is none.
import { stdout } from 'node:process';

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
