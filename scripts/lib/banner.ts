import path from 'node:path';
import type { Stack } from '../stack.ts';
import { paint, table } from './terminal.ts';

/** What a person at the terminal wants to know of a stack that has just come up. */
export function banner(stack: Stack): string {
  const cwd = process.env['INIT_CWD'] ?? process.cwd();
  const dataDir = path.relative(cwd, stack.dataDir);
  const rows = table([
    ['Address', paint('bold', stack.url)],
    ['Mode', `${paint('yellow', 'development')}: no credentials are asked for, this machine only`],
    ['Data', dataDir.startsWith('..') ? stack.dataDir : dataDir],
    ['Logs', path.join(dataDir.startsWith('..') ? stack.dataDir : dataDir, 'logs')],
    ['Stop', 'Ctrl-C'],
  ]);
  return `\n${rows}\n`;
}
