import { appendFileSync, existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll } from 'vitest';
import { CACHE, migrate, migrationsHash } from '../../scripts/lib/build.ts';
import { secretsOf } from '../../scripts/lib/data-dir.ts';
import { KNOWN_SECRETS, LOGS } from '../../scripts/lib/leaks.ts';
import { startStack, type Stack, type StackOptions } from '../../scripts/stack.ts';

/** Short enough that a lost renderer is noticed within a test, and longer than a busy machine holds up a sound one. */
export const IMPATIENT = {
  leaseMs: 6000,
  policy: { lease_ms: 8000, retry_base_ms: 200, report_watched_ms: 300 },
} as const;

/** What an encoder that a test stops has not: an end by the renderer's own patience with it. */
export const STOPPED_FOR_LONG = { RENDERER_STALL_MS: '600000' } as const;

/** A real stack of its own: a free port, an empty data folder, no page unless asked for. */
export async function freshStack(options: StackOptions = {}): Promise<Stack> {
  const dataDir = options.dataDir ?? (await migratedFolder());
  const onLine = (part: string, line: string) => {
    keepLine(part, line);
    options.onLine?.(part, line);
  };
  const quiet = { port: 0, app: false, say: () => undefined };
  await noteSecrets(dataDir, options.workerEnv);
  return await startStack({ ...quiet, ...options, dataDir, onLine });
}

/** For `npm test`, which must find them in nothing that was written. */
async function noteSecrets(dataDir: string, workerEnv: StackOptions['workerEnv'] = {}) {
  const folder = process.env[LOGS];
  if (!folder) return;
  const { signingKeys, idKey, runpodApiKey } = await secretsOf(dataDir);
  const key = signingKeys.split(':').at(-1) ?? signingKeys;
  const own = [key, idKey, runpodApiKey, workerEnv['API_KEY']].filter((one) => one !== undefined);
  appendFileSync(path.join(folder, KNOWN_SECRETS), own.map((one) => `${one}\n`).join(''));
}

/** A copy for `npm test`, which looks for secrets in all that was written. */
function keepLine(part: string, line: string): void {
  const folder = process.env[LOGS];
  if (folder) appendFileSync(path.join(folder, `${part}-${process.pid}.log`), `${line}\n`);
}

/** A folder that is removed after the last test of the file. */
export async function temporaryFolder(name: string): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), `export-jobs-${name}-`));
  folders.push(folder);
  return folder;
}

const folders: string[] = [];
// Registered first, so it runs last, when nothing uses the folders any more.
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** A data folder with the newest schema, copied from one that is made once: wrangler takes seconds. */
export async function migratedFolder(): Promise<string> {
  template ??= makeTemplate();
  const dataDir = await temporaryFolder('data');
  await cp(await template, dataDir, { recursive: true });
  return dataDir;
}

/** Made once in a process, for two stacks that start at the same time. */
let template: Promise<string> | undefined;

async function makeTemplate(): Promise<string> {
  const made = path.join(CACHE, `migrated-${await migrationsHash()}`);
  if (existsSync(made)) return made;
  const making = `${made}-${process.pid}`;
  await mkdir(making, { recursive: true });
  await migrate(making);
  await rename(making, made);
  return made;
}
