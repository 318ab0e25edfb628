import path from 'node:path';

/** The command of this project's own renderer. */
export const OURS: readonly string[] = [
  process.execPath,
  path.join(import.meta.dirname, '..', 'renderer', 'src', 'main.ts'),
];
