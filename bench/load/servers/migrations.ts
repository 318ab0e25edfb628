import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import type { Source } from './source.ts';

/** The SQL of a Worker's migrations, in their order; the Worker by the parts of its folder. */
export async function migrationsOf(source: Source, ...parts: string[]): Promise<string[]> {
  const folder = source.path(...parts, 'migrations');
  const names = (await readdir(folder)).filter((name) => name.endsWith('.sql')).toSorted();
  return await Promise.all(names.map((name) => readFile(path.join(folder, name), 'utf8')));
}
