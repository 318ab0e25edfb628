// Responsible for who runs what on this machine, by Linux's own account, and for ending all that one user runs.
import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';
import { hasSystemCode } from '../failure.ts';
import { runTool } from './process.ts';

export interface Process {
  readonly user: number;
  /** Not one that has ended and only waits for its parent to hear of it. */
  readonly isAlive: boolean;
}

/** All processes that there are; none where the system keeps no account of them in /proc. */
export function processes(): Process[] {
  const statuses = filesIn('/proc').map((name) =>
    /^\d+$/.test(name) ? textOf(`/proc/${name}/status`) : undefined,
  );
  return statuses.flatMap((status) => (status === undefined ? [] : [processOf(status)]));
}

/** @param status of `/proc/<pid>/status`. */
export function processOf(status: string): Process {
  const field = (name: string) => new RegExp(`^${name}:\\s+(\\S+)`, 'm').exec(status)?.[1] ?? '';
  // The first thread looks dead once it has ended, also while others of the same process go on.
  const isAlive = !/[ZX]/.test(field('State')) || Number(field('Threads')) > 1;
  return { user: Number(field('Uid')), isAlive };
}

/** How long all processes of a user may take to end, ms. */
const END_MS = 10_000;
const LOOK_MS = 20;

/**
 * Becomes a user's ghost and kills all that the user runs by one call. A ghost may signal whom it haunts, for it acts as
 * that user; but it cannot be signalled back, because by its real and its saved user it is somebody else. With any
 * right left, or as an administrator, it would hit everybody: so it looks at itself first.
 */
const KILL_ALL = `
const [user, ghost] = process.argv.slice(1).map(Number);
process.seteuid(user);
const self = require('fs').readFileSync('/proc/self/status', 'utf8');
const is = (name, ...values) => self.includes('\\n' + [name + ':', ...values].join('\\t') + '\\n');
if (!is('Uid', ghost, user, 0, user) || !is('CapEff', '0'.repeat(16))) process.exit(1);
try {
  process.kill(-1, 'SIGKILL');
} catch (error) {
  if (error.code !== 'ESRCH') throw error;
}`;

/**
 * Ends all that a user runs, which may resist; needs an administrator. It is killed before it is looked for: whoever
 * starts the next process and ends is found by nobody who reads one file after the other, while the kernel, which kills
 * all at once, lets none start another after that.
 * @param ghost another user, who runs nothing.
 * @throws when something is left after `limitMs`.
 */
export async function endUser(user: number, ghost: number, limitMs = END_MS): Promise<void> {
  const command = [process.execPath, '-e', KILL_ALL, String(user), String(ghost)];
  const until = performance.now() + limitMs;
  for (;;) {
    const args = ['--ruid', String(ghost), '--', ...command];
    const { code } = await runTool('setpriv', args, { timeoutMs: limitMs });
    const left = processes().filter((one) => one.user === user && one.isAlive).length;
    if (code === 0 && left === 0) return;
    if (performance.now() > until) {
      throw new Error(`${left} processes of user ${user} are left, or more`);
    }
    await pause(LOOK_MS);
  }
}

function filesIn(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return [];
    throw error;
  }
}

/** Of a file of /proc; undefined when its process has gone meanwhile. */
function textOf(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT') || hasSystemCode(error, 'ESRCH')) return undefined;
    throw error;
  }
}
