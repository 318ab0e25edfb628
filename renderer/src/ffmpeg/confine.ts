// Responsible for what a media tool can reach and use up while it reads what a stranger sent, should the file
// be made to take the tool over. Must not decide what is read: untrusted-input.ts does.
import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import { promisify } from 'node:util';
import { toolEnv } from './process.ts';

/** What this machine lets us take from a tool. Limits on files and memory work everywhere. */
export interface Confinement {
  /** The command that starts another one without any network, or nothing. */
  readonly offline: readonly string[];
  /** Whether a tool can be run as somebody else, and never gain rights. */
  readonly asOther: boolean;
}

/** What one run may use. */
export interface Bounds {
  /** The largest file that it may write, bytes. */
  readonly fileBytes: number;
  /** The most memory that it may ask for, bytes; without it no limit: the driver of a GPU reserves a lot. */
  readonly memoryBytes?: number;
}

/** Of ffprobe, which writes no file; 2 GiB hold the index of a day of film. */
export const PROBE_BOUNDS: Bounds = { fileBytes: 0, memoryBytes: 2 * 1024 ** 3 };

export const UNCONFINED: Confinement = { offline: [], asOther: false };

/** Needs rights of an administrator; or makes a place where it has them, if users may. */
const OFFLINE = [
  ['unshare', '--net', '--'],
  ['unshare', '--user', '--map-current-user', '--net', '--'],
] as const;

/** Users that do not exist, so that nothing belongs to them but what is given to them. */
const STRANGERS = { first: 50_000, count: 10_000 } as const;

/**
 * Limits are this shell's own before it becomes the tool: 512-byte blocks of a file, KiB of memory, open files,
 * no core dumps. When memory runs out the kernel ends the tool first. What cannot be set is left.
 */
const LIMITED =
  '{ ulimit -c 0; ulimit -n 512; ulimit -f "$1"; [ -z "$2" ] || ulimit -v "$2"; ' +
  'echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null; shift 2; exec "$@"';

/** Tries what works here, with the tool itself. */
export async function findConfinement(tool: string): Promise<Confinement> {
  const asOther = await succeeds([...asUser(STRANGERS.first), tool, '-version']);
  for (const offline of OFFLINE) {
    if (await succeeds([...offline, 'true'])) return { offline, asOther };
  }
  return { offline: [], asOther };
}

/** A user for a new job's folder and tools; undefined where only an administrator could make them theirs. */
export function stranger(): number | undefined {
  if (process.getuid?.() !== 0) return undefined;
  return STRANGERS.first + Math.floor(Math.random() * STRANGERS.count);
}

/**
 * The command that runs another one within bounds, as whoever owns the folder that it works in.
 * @param folder undefined for a command that touches no files.
 */
export async function confined(
  { offline, asOther }: Confinement,
  command: readonly string[],
  folder: string | undefined,
  { fileBytes, memoryBytes }: Bounds,
): Promise<[program: string, args: string[]]> {
  const owner = folder === undefined ? stranger() : (await stat(folder)).uid;
  const blocks = String(Math.ceil(fileBytes / 512));
  const kib = memoryBytes === undefined ? '' : String(Math.ceil(memoryBytes / 1024));
  const limited = ['/bin/sh', '-c', LIMITED, 'sh', blocks, kib, ...command];
  const [program = '', ...args] = [...offline, ...(asOther ? asUser(owner) : []), ...limited];
  return [program, args];
}

/** Only an administrator can become somebody else; for others this takes rights away. */
function asUser(uid: number | undefined): string[] {
  const own = process.getuid?.();
  const change = own === 0 && uid !== undefined && uid !== own;
  const who = change ? ['--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups'] : [];
  return ['setpriv', ...who, '--no-new-privs', '--'];
}

async function succeeds([program = '', ...args]: readonly string[]): Promise<boolean> {
  return await promisify(execFile)(program, args, { env: toolEnv(), timeout: 10_000 }).then(
    () => true,
    () => false,
  );
}
