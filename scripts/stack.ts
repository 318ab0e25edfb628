// The one place that knows how the parts run together on a laptop: the Worker under `wrangler dev`,
// RunPod's stand-in inside this process, and renderers as processes of their own.
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startStandIn, type StandIn } from '../renderer/src/runpod/stand-in/index.ts';
import { buildApp, ensureAppFolder, migrate } from './lib/build.ts';
import { claim, DEFAULT_DATA_DIR, secretsOf, type Secrets } from './lib/data-dir.ts';
import { answers, isOurs } from './lib/health.ts';
import { Part } from './lib/part.ts';
import { inRoot, ROOT } from './lib/paths.ts';
import { assertPortFree, freePort } from './lib/port.ts';
import { UserError } from './lib/user-error.ts';
import { CONFIG, worthShowing, WRANGLER, WRANGLER_ENV } from './lib/wrangler.ts';

export const DEFAULT_PORT = 8787;

export interface StackOptions {
  /** Default 8787; 0 takes a free one. */
  readonly port?: number;
  /** Where jobs, files, secrets and logs are kept. Default `.data` in the repository. */
  readonly dataDir?: string;
  /** Whether the page is built and served. Default true. */
  readonly app?: boolean;
  /** How many renderers run. Default 1. */
  readonly renderers?: number;
  /** Overrides of the Worker's policy, such as `{lease_ms: 2000}`. */
  readonly policy?: Readonly<Record<string, number>>;
  /** How long the stand-in lets a silent renderer keep its job, ms. Default 40,000. */
  readonly leaseMs?: number;
  /** Another Worker in the place of the real one; for tests and comparisons. */
  readonly workerCode?: WorkerCode;
  /** Further variables of the Worker, and of the renderers. */
  readonly workerEnv?: Readonly<Record<string, string>>;
  readonly rendererEnv?: Readonly<Record<string, string>>;
  /** Another program in the place of the renderer. */
  readonly rendererMain?: string;
  /** Puts something between two parts: gets where calls go to, gives what callers are told. */
  readonly detour?: (link: Link, url: string) => string;
  /** Gets a sentence for each thing that happens. Default: stderr. */
  readonly say?: (text: string) => void;
  /** Gets each line that a part prints. Default: none; the logs have them all. */
  readonly onLine?: (part: string, line: string) => void;
}

/** Who calls whom between the parts. */
export type Link = 'renderer-worker' | 'worker-runpod' | 'renderer-runpod';

/** A Worker: its wrangler configuration, and a script in the place of the one that this names. */
export interface WorkerCode {
  readonly config?: string;
  readonly script?: string;
}

/** A running stack. */
export interface Stack {
  /** `http://localhost:<port>`. */
  readonly url: string;
  readonly port: number;
  readonly dataDir: string;
  readonly worker: Part;
  readonly renderers: readonly Part[];
  readonly standIn: StandIn;
  /** Ends every part; none of their processes is left afterwards. */
  close(): Promise<void>;
}

/**
 * Starts everything that an export needs on this machine, in development mode, and resolves once
 * it answers. Parts that die are started again until `close`.
 * @throws UserError when the data folder or the port is in use, or a part does not start.
 */
export async function startStack(options: StackOptions = {}): Promise<Stack> {
  const port = options.port === 0 ? await freePort() : (options.port ?? DEFAULT_PORT);
  const dataDir = options.dataDir ?? DEFAULT_DATA_DIR;
  const url = `http://localhost:${port}`;
  const claimed = await claim(dataDir, url);
  if ('pid' in claimed) {
    throw new UserError(`Already running at ${claimed.url} (process ${claimed.pid}).`);
  }
  // Whatever was started is ended in the opposite order, also when a later part fails.
  const undo: (() => Promise<void>)[] = [claimed.release];
  const close = once(async () => {
    for (const end of undo.toReversed()) await end();
  });
  try {
    await assertPortFree(port);
    const parts = await startParts({ ...options, port, dataDir }, undo);
    return { url, port, dataDir, ...parts, close };
  } catch (error) {
    await close();
    throw error;
  }
}

type Settled = StackOptions & { readonly port: number; readonly dataDir: string };

async function startParts(options: Settled, undo: (() => Promise<void>)[]) {
  const { dataDir, leaseMs } = options;
  await mkdir(path.join(dataDir, 'logs'), { recursive: true });
  await prepare(options);
  const secrets = await secretsOf(dataDir);
  const standIn = await startStandIn({
    port: 0,
    apiKey: secrets.runpodApiKey,
    stateFile: path.join(dataDir, 'runpod.json'),
    ...(leaseMs === undefined ? {} : { leaseMs }),
  });
  undo.push(() => standIn.close());
  await writeFile(envFileOf(dataDir), devVars(options, secrets, standIn), { mode: 0o600 });
  const worker = await startWorker(options, undo);
  const renderers = await startRenderers(options, standIn, undo);
  return { worker, renderers, standIn };
}

async function startWorker(options: Settled, undo: (() => Promise<void>)[]): Promise<Part> {
  const { port } = options;
  const common = await commonOf(options, 'worker');
  const worker = new Part({
    ...common,
    args: wranglerDev(options),
    env: WRANGLER_ENV,
    answers: () => answers(port),
    distress: /runtime crashed/,
  });
  undo.push(() => worker.stop());
  await untilReady(worker, port, common.logFile);
  const cron = setInterval(() => void runCron(port), CRON_MS);
  undo.push(async () => clearInterval(cron));
  return worker;
}

async function startRenderers(options: Settled, standIn: StandIn, undo: (() => Promise<void>)[]) {
  const parts: Part[] = [];
  for (let n = 1; n <= (options.renderers ?? 1); n += 1) {
    const part = new Part({
      ...(await commonOf(options, n === 1 ? 'renderer' : `renderer-${n}`)),
      args: [options.rendererMain ?? inRoot('renderer', 'src', 'main.ts')],
      env: rendererEnv(options, standIn, `local-${n}`),
    });
    undo.push(() => part.stop());
    parts.push(part);
  }
  return parts;
}

/** What every part has: a name, a log, and somebody who hears of it. */
async function commonOf({ dataDir, onLine, say = sayOnStderr }: Settled, name: string) {
  const logFile = path.join(dataDir, 'logs', `${name}.log`);
  await rotate(logFile);
  return {
    name,
    say,
    logFile,
    cwd: ROOT,
    onLine: (line: string) => {
      const shown = worthShowing(line);
      if (shown !== null) onLine?.(name, shown);
      return shown;
    },
  };
}

function sayOnStderr(text: string): void {
  console.error(text);
}

async function prepare(options: Settled): Promise<void> {
  const { dataDir, app = true, say = sayOnStderr, workerCode } = options;
  const built = app ? buildApp() : ensureAppFolder().then(() => false);
  const migrated = migrate(dataDir, workerCode?.config);
  // Both to their end, so that a failure of one leaves nothing running.
  const [page, schema] = await Promise.allSettled([built, migrated]);
  if (page.status === 'rejected') throw page.reason;
  if (schema.status === 'rejected') throw schema.reason;
  if (page.value) say('built the page');
  if (schema.value) say('brought the database to the newest schema');
}

function envFileOf(dataDir: string): string {
  return path.join(dataDir, 'dev.vars');
}

function wranglerDev({ port, dataDir, workerCode = {} }: Settled): string[] {
  const { config = CONFIG, script } = workerCode;
  // Port 0: the inspector of a second stack must not clash with that of the first.
  const address = ['--ip', '127.0.0.1', '--port', `${port}`, '--inspector-port', '0'];
  const state = ['-c', config, '--persist-to', path.join(dataDir, 'state')];
  const files = [...state, '--env-file', envFileOf(dataDir)];
  const output = ['--show-interactive-dev-session=false', '--log-level', 'info'];
  return [WRANGLER, 'dev', ...(script ? [script] : []), ...address, ...files, ...output];
}

function devVars(options: Settled, secrets: Secrets, standIn: StandIn): string {
  const { port, policy, detour = straight, workerEnv } = options;
  const variables = {
    DEVELOPMENT: '1',
    SIGNING_KEYS: secrets.signingKeys,
    ID_KEY: secrets.idKey,
    PUBLIC_URL: detour('renderer-worker', `http://127.0.0.1:${port}`),
    RUNPOD_ENDPOINT_URL: `${detour('worker-runpod', standIn.url)}/v2/local`,
    RUNPOD_API_KEY: secrets.runpodApiKey,
    POLICY: JSON.stringify(policy ?? {}),
    ...workerEnv,
  };
  return Object.entries(variables)
    .map(([name, value]) => `${name}='${value}'\n`)
    .join('');
}

function rendererEnv(options: Settled, standIn: StandIn, workerId: string) {
  const { detour = straight } = options;
  const url = detour('renderer-runpod', standIn.url);
  const env: Record<string, string> = { NODE_NO_WARNINGS: '1' };
  for (const [name, value] of Object.entries(standIn.workerEnv(workerId))) {
    env[name] = value.replace(standIn.url, () => url);
  }
  return { ...env, ...options.rendererEnv };
}

function straight(_link: Link, url: string): string {
  return url;
}

/** @throws UserError with the end of the log when the Worker dies or stays silent. */
async function untilReady(worker: Part, port: number, logFile: string): Promise<void> {
  const deadline = Date.now() + 60_000;
  while (!(await isOurs(port))) {
    if (worker.starts > 2 || Date.now() > deadline) {
      const log = await readFile(logFile, 'utf8').catch(() => '');
      const tail = log.trimEnd().split('\n').slice(-20).join('\n');
      throw new UserError(`The Worker did not start. The end of ${logFile}:\n${tail}`);
    }
    await sleep(100);
  }
}

const CRON_MS = 60_000;

/** Does what the platform's clock does in production; `wrangler dev` leaves it to us. */
async function runCron(port: number): Promise<void> {
  const url = `http://127.0.0.1:${port}/cdn-cgi/local/scheduled`;
  // A Worker that is being started again misses a turn, as it may in production.
  await fetch(url, { signal: AbortSignal.timeout(CRON_MS) }).catch(() => undefined);
}

const MAX_LOG_BYTES = 5 * 1024 * 1024;

async function rotate(logFile: string): Promise<void> {
  if (!existsSync(logFile) || (await stat(logFile)).size < MAX_LOG_BYTES) return;
  await rm(`${logFile}.1`, { force: true });
  await rename(logFile, `${logFile}.1`);
}

function once(action: () => Promise<void>): () => Promise<void> {
  let running: Promise<void> | undefined;
  return () => (running ??= action());
}
