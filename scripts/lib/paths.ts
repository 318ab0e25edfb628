import path from 'node:path';

/** The repository's root folder. */
export const ROOT = path.dirname(path.dirname(import.meta.dirname));

/** A path inside the repository. */
export function inRoot(...parts: string[]): string {
  return path.join(ROOT, ...parts);
}
