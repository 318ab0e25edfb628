// Responsible for what a media tool can reach and use up while it reads what a stranger sent, should the file
// be made to take the tool over. Must not decide what is read: untrusted-input.ts does.
import { lstat } from 'node:fs/promises';
import { runTool } from './process.ts';

/** What this machine lets us take from a tool. Limits on files and memory work everywhere. */
export interface Confinement {
  /** The command that starts another one without any network, or nothing. */
  readonly offline: readonly string[];
  /** Whether a tool can be run as somebody else, and never gain rights. */
  readonly asOther: boolean;
  /** Whether it can also be kept from writing outside its folder, where everybody else may. */
  readonly inFolder: boolean;
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

export const UNCONFINED: Confinement = { offline: [], asOther: false, inFolder: false };

/** Users that do not exist, so that nothing belongs to them but what is given to them. */
const STRANGERS = { first: 50_000, count: 10_000 } as const;

/**
 * Limits are this shell's own before it becomes the tool: 512-byte blocks of a file, KiB of memory, open files,
 * no core dumps. When memory runs out the kernel ends the tool first. What cannot be set is left.
 */
const LIMITED =
  '{ ulimit -c 0; ulimit -n 512; ulimit -f "$1"; [ -z "$2" ] || ulimit -v "$2"; ' +
  'echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null; shift 2; exec "$@"';

/** What changes files, as the oldest Landlock knows it: a newer right would be refused by an older kernel. */
const WRITES =
  'write-file,remove-dir,remove-file,make-char,make-dir,make-reg,make-sock,make-fifo,make-block,make-sym';

/** A GPU is spoken to by writing to its devices, and its driver names its threads in /proc. */
const WRITABLE = ['/dev', '/proc'] as const;

let strangers = Math.floor(Math.random() * STRANGERS.count);

/** A user for a new job's folder and tools; undefined where only an administrator could make them theirs. */
export function stranger(): number | undefined {
  if (process.getuid?.() !== 0) return undefined;
  strangers = (strangers + 1) % STRANGERS.count;
  return STRANGERS.first + strangers;
}

/**
 * The command that runs another one within bounds, as whoever owns the folder that it works in.
 * @param folder undefined for a command that touches no files.
 */
export async function confined(
  { offline, asOther, inFolder }: Confinement,
  command: readonly string[],
  folder: string | undefined,
  { fileBytes, memoryBytes }: Bounds,
): Promise<[program: string, args: string[]]> {
  const owner = folder === undefined ? stranger() : await ownerOf(folder);
  const blocks = String(Math.ceil(fileBytes / 512));
  const kib = memoryBytes === undefined ? '' : String(Math.ceil(memoryBytes / 1024));
  const limited = ['/bin/sh', '-c', LIMITED, 'sh', blocks, kib, ...command];
  const held = asOther ? asUser(owner, inFolder ? writingTo(folder) : []) : [];
  const [program = '', ...args] = [...offline, ...held, ...limited];
  return [program, args];
}

/**
 * Ends what tools that ran in a folder have left behind, so that nobody changes it any more while we read or remove
 * it. Where they ran as ourselves there is no telling them from us, and nothing is done.
 */
export async function endTools({ asOther }: Confinement, folder: string): Promise<void> {
  const owner = await ownerOf(folder);
  if (!asOther || !isChange(owner)) return;
  const [program, ...args] = [...asUser(owner), '/bin/sh', '-c', 'kill -s KILL -- -1'];
  await runTool(program, args, { timeoutMs: 10_000 });
}

/** Of the folder itself: a tool may have put a link to one of ours in its place. */
async function ownerOf(folder: string): Promise<number> {
  return (await lstat(folder)).uid;
}

/** Only an administrator can become somebody else. */
function isChange(uid: number | undefined): uid is number {
  const own = process.getuid?.();
  return own === 0 && uid !== undefined && uid !== own;
}

/**
 * Takes rights away, whoever it is. What may be inherited is emptied, and with it the ambient set, which would
 * outlive the change of user; whatever could be gained by a program's file is not, with no new privileges.
 */
function asUser(
  uid: number | undefined,
  held: readonly string[] = [],
): [program: string, ...string[]] {
  const who = isChange(uid) ? ['--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups'] : [];
  return ['setpriv', ...who, '--inh-caps=-all', '--no-new-privs', ...held, '--'];
}

function writingTo(folder: string | undefined): string[] {
  const own = folder === undefined ? [] : ['--landlock-rule', `path-beneath:${WRITES}:${folder}`];
  const rules = WRITABLE.flatMap((path) => ['--landlock-rule', `path-beneath:write-file:${path}`]);
  return ['--landlock-access', `fs:${WRITES}`, ...rules, ...own];
}
