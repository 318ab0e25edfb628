// Responsible for the files of a command: the source, and where the result may go.
import { openAsBlob } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { UsageError } from './exit.ts';

/** @throws UsageError when there is no such file. */
export async function openSource(file: string): Promise<File> {
  const found = await stat(file).catch(() => null);
  if (!found) throw new UsageError(`There is no file ${file}`);
  if (!found.isFile()) throw new UsageError(`${file} is not a file`);
  return new File([await openAsBlob(file)], path.basename(file));
}

/**
 * Looks before hours of rendering whether a result can be saved there.
 * @throws UsageError that says what is in the way.
 */
export async function assertWritable(file: string, force: boolean): Promise<void> {
  const found = await stat(file).catch(() => null);
  if (found?.isDirectory()) throw new UsageError(`${file} is a folder; name a file with -o`);
  if (found && !force) throw taken(file);
  const folder = await stat(path.dirname(file)).catch(() => null);
  if (!folder?.isDirectory()) throw new UsageError(`There is no folder ${path.dirname(file)}`);
}

export function taken(file: string): UsageError {
  return new UsageError(`${file} exists already; choose another name with -o`);
}

/** A name from elsewhere, as one of a visible file in the folder where it is used. */
export function safeName(name: string): string {
  const last = name.split(/[/\\]/).at(-1) ?? '';
  const safe = last
    .replaceAll(/[\p{Cc}<>:"|?*\u202A-\u202E\u2066-\u2069]/gu, '_')
    .replace(/^\.+/, '');
  return safe === '' ? 'export' : safe;
}
