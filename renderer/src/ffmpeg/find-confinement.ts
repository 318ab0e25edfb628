// Responsible for finding out how far tools can be held down on this machine. Believes only what it has seen refused:
// that a command starts says nothing about what it denies.
import { openSync } from 'node:fs';
import { chmod, mkdir, mkdtemp, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { makeJobFolder } from '../job-folder.ts';
import { confined, endTools, UNCONFINED, type Confinement } from './confine.ts';
import { runTool } from './process.ts';
import { processes } from './processes.ts';
import { socketFilter } from './socket-filter.ts';

const TRIAL_MS = 10_000;

/**
 * Tries with the tool itself what works here, each with what was found before, and again what has failed once: on a
 * busy machine that may be all there is to it.
 * @param root where jobs keep their files.
 */
export async function findConfinement(tool: string, root: string): Promise<Confinement> {
  const offline = await findOffline(root);
  let found = offline ? { ...UNCONFINED, offline } : UNCONFINED;
  for (const more of [{ rightless: true }, { asOther: true }, { inFolder: true }]) {
    const stricter = { ...found, ...more };
    if (await twice(() => holds(stricter, tool, root))) found = stricter;
  }
  return found;
}

/** Whether it succeeds at once, or else when it is repeated. */
export async function twice(trial: () => Promise<boolean>): Promise<boolean> {
  return (await trial()) || (await trial());
}

/**
 * The first needs rights of an administrator. The last makes a place where anybody has them, if users may; it comes
 * last because nobody else exists in there whom a tool could be.
 */
async function findOffline(root: string): Promise<readonly string[] | undefined> {
  const filter = await keptFilter(root);
  const ways = [
    ['unshare', '--net', '--'],
    ...(filter ? [['setpriv', '--no-new-privs', '--seccomp-filter', filter, '--']] : []),
    ['unshare', '--user', '--map-current-user', '--net', '--'],
  ];
  for (const way of ways) {
    if (await twice(() => isOffline(way))) return way;
  }
  return undefined;
}

let kept: string | undefined;

/**
 * Where commands find the filter: a file that we hold open and that has no name, so that nobody can change or clean it away.
 * @returns undefined where there is none for this machine, or no room for it.
 */
async function keptFilter(root: string): Promise<string | undefined> {
  const bytes = socketFilter(process.arch);
  if (!bytes || process.platform !== 'linux') return undefined;
  kept ??= await keep(bytes, root).catch(() => undefined);
  return kept;
}

async function keep(bytes: Uint8Array, root: string): Promise<string> {
  const folder = await mkdtemp(join(root, 'export-filter-'));
  try {
    const file = join(folder, 'filter');
    await writeFile(file, bytes);
    return `/proc/${process.pid}/fd/${openSync(file, 'r')}`;
  } finally {
    await rm(folder, { recursive: true });
  }
}

const REFUSED = 7;
const DIAL = `require('net').connect(process.argv[1], '127.0.0.1')
  .on('connect', () => process.exit(0)).on('error', () => process.exit(${REFUSED}))`;

/** Whether a command cannot reach a server that is there. */
async function isOffline([program = '', ...args]: readonly string[]): Promise<boolean> {
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    socket.destroy();
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  const port = typeof address === 'object' && address ? `${address.port}` : '';
  const dial = [...args, process.execPath, '-e', DIAL, port];
  const end = await runTool(program, dial, { timeoutMs: TRIAL_MS }).catch(() => undefined);
  server.close();
  return end?.code === REFUSED && connections === 0;
}

/**
 * `$1` is who it must be, `$2` a folder that everybody may write to. It leaves somebody behind. Whoever is not killed
 * goes away by itself, with success.
 */
const TRIAL = `"$0" -version >&2 && [ "$(id -u)" = "$1" ] && grep -q 'NoNewPrivs:.1' /proc/self/status &&
  grep -q 'CapEff:.0*$' /proc/self/status && touch own && { [ -z "$2" ] || ! touch "$2/foreign" 2>/dev/null; } &&
  { setsid sleep 5 >/dev/null 2>&1 & } && echo ready && exec sleep 5`;

/** Whether a tool that is held like this runs, writes into its folder, is ended by us, and can be cleaned up after. */
async function holds(kind: Confinement, tool: string, root: string): Promise<boolean> {
  const folder = await makeJobFolder(root, kind).catch(() => undefined);
  if (folder === undefined) return false;
  try {
    if (!(await runsHeld(kind, tool, folder))) return false;
    await endTools(folder);
    return true;
  } catch {
    return false;
  } finally {
    await rm(dirname(folder), { recursive: true, force: true }).catch(() => undefined);
  }
}

async function runsHeld(kind: Confinement, tool: string, folder: string): Promise<boolean> {
  const open = join(dirname(folder), 'open');
  await mkdir(open);
  await chmod(open, 0o777);
  const { uid } = await stat(folder);
  if (kind.asOther && uid === process.getuid?.()) return false;
  // By a path on which nothing else can be what refuses it.
  const foreign = kind.inFolder ? '../open' : '';
  const command = ['/bin/sh', '-c', TRIAL, tool, String(uid), foreign];
  const run = await confined(kind, command, folder, { fileBytes: 512 });
  // Killed when it has said anything.
  const end = await runTool(...run, { timeoutMs: TRIAL_MS, cwd: folder, maxOutput: 0 });
  const isSeen = processes().some(({ user, isAlive }) => isAlive && user === uid);
  return end.signal === 'SIGKILL' && !end.timedOut && (isSeen || !kind.asOther);
}
