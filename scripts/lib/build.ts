// Responsible for what must exist before the stack can start: the built page and the D1 schema.
// Each is made again only when what it is made from has changed.
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { inRoot } from './paths.ts';
import { runNode } from './run.ts';
import { UserError } from './user-error.ts';
import { CONFIG, WRANGLER, WRANGLER_ENV } from './wrangler.ts';

/** What can be made again at any time. */
export const CACHE = inRoot('node_modules', '.cache', 'export-jobs');
const APP_DIST = inRoot('app', 'dist');
/** What the page is made of. */
const APP_SOURCES = ['app', 'client/src', 'protocol/src', 'package-lock.json'];

/** Makes app/dist. @returns whether it had to. @throws UserError with the bundler's output. */
export async function buildApp(): Promise<boolean> {
  const hash = await hashOf(APP_SOURCES.map((source) => inRoot(source)));
  const stamp = path.join(CACHE, 'app.sha256');
  if (existsSync(path.join(APP_DIST, 'index.html')) && (await readText(stamp)) === hash) {
    return false;
  }
  // Built aside and swapped in, because another stack may be serving the old one.
  const aside = path.join(CACHE, `app-${process.pid}`);
  const vite = inRoot('node_modules', 'vite', 'bin', 'vite.js');
  const args = [vite, 'build', '--outDir', aside, '--emptyOutDir', '--logLevel', 'warn'];
  const { code, output } = await runNode(args, { cwd: inRoot('app') });
  if (code !== 0) throw new UserError(`The page could not be built:\n${output.trim()}`);
  await rm(APP_DIST, { recursive: true, force: true });
  await rename(aside, APP_DIST);
  await writeFile(stamp, hash);
  return true;
}

/** Makes sure that app/dist exists, for a stack that serves no page. */
export async function ensureAppFolder(): Promise<void> {
  await mkdir(APP_DIST, { recursive: true });
}

/**
 * Brings the local D1 database of a data folder to the newest schema of a Worker's configuration,
 * whose migrations lie beside it.
 * @returns whether it had to. @throws UserError with wrangler's output.
 */
export async function migrate(dataDir: string, config = CONFIG): Promise<boolean> {
  const hash = await hashOf([path.join(path.dirname(config), 'migrations')]);
  const stamp = path.join(dataDir, 'migrations.sha256');
  const state = path.join(dataDir, 'state');
  if (existsSync(path.join(state, 'v3', 'd1')) && (await readText(stamp)) === hash) return false;
  const command = ['d1', 'migrations', 'apply', 'DB', '--local', '-c', config];
  const args = [WRANGLER, ...command, '--persist-to', state];
  const { code, output } = await runNode(args, { env: WRANGLER_ENV });
  if (code !== 0) throw new UserError(`The database could not be migrated:\n${output.trim()}`);
  await writeFile(stamp, hash);
  return true;
}

/** Changes whenever the D1 schema does. */
export async function migrationsHash(): Promise<string> {
  return await hashOf([inRoot('workers', 'migrations')]);
}

/** One hash over the names and bytes of files and folders. */
export async function hashOf(roots: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const root of roots) {
    for (const file of await filesUnder(root)) {
      const bytes = await readFile(file);
      hash.update(`${path.relative(root, file)}\n${bytes.byteLength}\n`).update(bytes);
    }
  }
  return hash.digest('hex');
}

async function filesUnder(root: string): Promise<string[]> {
  const entries = await readdir(root, { withFileTypes: true }).catch(() => null);
  if (entries === null) return [root];
  const found: string[] = [];
  for (const entry of entries.toSorted((a, b) => (a.name < b.name ? -1 : 1))) {
    if (['dist', 'node_modules'].includes(entry.name)) continue;
    found.push(...(await filesUnder(path.join(root, entry.name))));
  }
  return found;
}

async function readText(file: string): Promise<string | null> {
  return await readFile(file, 'utf8').catch(() => null);
}
