// Responsible for finding out how far tools can be held down on this machine. Believes only what it has seen refused:
// that a command starts says nothing about what it denies.
import { chmod, chown, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { openSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { confined, stranger, UNCONFINED, type Confinement } from './confine.ts';
import { runTool } from './process.ts';
import { socketFilter } from './socket-filter.ts';

const TRIAL_MS = 10_000;

/** Tries with the tool itself what works here, each with what was found before. */
export async function findConfinement(tool: string): Promise<Confinement> {
  let found = UNCONFINED;
  const offline = await findOffline();
  if (offline) found = { ...found, offline };
  for (const more of [{ asOther: true }, { inFolder: true }]) {
    const stricter = { ...found, ...more };
    if (await holds(stricter, tool)) found = stricter;
  }
  return found;
}

/**
 * The first needs rights of an administrator. The last makes a place where anybody has them, if users may; it comes
 * last because nobody else exists in there whom a tool could be.
 */
async function findOffline(): Promise<readonly string[] | undefined> {
  const filter = await keptFilter();
  const ways = [
    ['unshare', '--net', '--'],
    ...(filter ? [['setpriv', '--no-new-privs', '--seccomp-filter', filter, '--']] : []),
    ['unshare', '--user', '--map-current-user', '--net', '--'],
  ];
  for (const way of ways) {
    if (await isOffline(way)) return way;
  }
  return undefined;
}

let kept: Promise<string | undefined> | undefined;

/** Where commands find the filter: a file that we hold open and that has no name, so that nobody can change or clean it away. */
function keptFilter(): Promise<string | undefined> {
  kept ??= keep(socketFilter(process.arch));
  return kept;
}

async function keep(bytes: Uint8Array | undefined): Promise<string | undefined> {
  if (!bytes || process.platform !== 'linux') return undefined;
  const folder = await mkdtemp(join(tmpdir(), 'export-filter-'));
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
 * `$1` is who it must be, `$2` a folder that everybody may write to. Whoever is not killed goes away by itself, with
 * success.
 */
const TRIAL = `"$0" -version >&2 && [ "$(id -u)" = "$1" ] && grep -q 'NoNewPrivs:.1' /proc/self/status &&
  touch own && { [ -z "$2" ] || ! touch "$2/foreign" 2>/dev/null; } && echo ready && exec sleep 5`;

/** Whether a tool that is held like this runs, writes into its folder, is ended by us, and can be cleaned up after. */
async function holds(kind: Confinement, tool: string): Promise<boolean> {
  const root = await mkdtemp(join(tmpdir(), 'export-trial-'));
  try {
    const [own, open] = [join(root, 'own'), join(root, 'open')];
    for (const folder of [own, open]) await mkdir(folder);
    await chmod(root, 0o711);
    await chmod(open, 0o777);
    const owner = stranger();
    if (owner !== undefined) await chown(own, owner, owner);
    const who = `${owner ?? process.getuid?.()}`;
    const command = ['/bin/sh', '-c', TRIAL, tool, who, kind.inFolder ? open : ''];
    const run = await confined(kind, command, own, { fileBytes: 512 });
    // Killed when it has said anything.
    const end = await runTool(...run, { timeoutMs: TRIAL_MS, cwd: own, maxOutput: 0 });
    await rm(own, { recursive: true });
    return end.signal === 'SIGKILL' && !end.timedOut;
  } catch {
    return false;
  } finally {
    await rm(root, { recursive: true, force: true }).catch(() => undefined);
  }
}
