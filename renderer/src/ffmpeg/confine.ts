// Responsible for what a media tool can reach and use up while it reads what a stranger sent, should the file
// be made to take the tool over. Must not decide what is read: untrusted-input.ts does.
import { lstat } from 'node:fs/promises';
import { hasSystemCode } from '../failure.ts';
import { endUser, processes } from './processes.ts';

/** What this machine lets us take from a tool. Limits on files and memory work everywhere. */
export interface Confinement {
  /** The command that starts another one without any network, or nothing. */
  readonly offline: readonly string[];
  /** Whether a tool can be run without any right of an administrator, and never gain one. */
  readonly rightless: boolean;
  /** Whether it can then also be somebody else. */
  readonly asOther: boolean;
  /** Whether it can then also be kept from writing outside its folder, where everybody else may. */
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

export const UNCONFINED: Confinement = {
  offline: [],
  rightless: false,
  asOther: false,
  inFolder: false,
};

/**
 * Users that do not exist, so that nothing belongs to them but what is given to them. Each has a ghost, who exists as
 * little, and as whom all that the stranger runs is ended.
 */
const STRANGERS = { first: 50_000, count: 10_000 } as const;
const ghostOf = (uid: number) => uid - STRANGERS.count;

/** Of a stranger, threads too: an encoder and its filters have one or two for each of the up to 256 CPUs of a host. */
const MAX_PROCESSES = 1024;

/**
 * Limits are this shell's own before it becomes the tool: 512-byte blocks of a file, KiB of memory, processes, open
 * files, no core dumps. When memory runs out the kernel ends the tool first. What cannot be set is left. Shells call
 * the limit of processes `-p` or `-u`.
 */
const LIMITED =
  '{ ulimit -c 0; ulimit -n 512; ulimit -f "$1"; [ -z "$2" ] || ulimit -v "$2"; ' +
  '[ -z "$3" ] || ulimit -u "$3" || ulimit -p "$3"; ' +
  'echo 1000 >/proc/self/oom_score_adj; } 2>/dev/null; shift 3; exec "$@"';

/** What changes files, as the oldest Landlock knows it: a newer right would be refused by an older kernel. */
const WRITES =
  'write-file,remove-dir,remove-file,make-char,make-dir,make-reg,make-sock,make-fifo,make-block,make-sym';

/** A GPU is spoken to by writing to its devices, and its driver names its threads in /proc. */
const WRITABLE = ['/dev', '/proc'] as const;

let strangers = Math.floor(Math.random() * STRANGERS.count);

/**
 * A user for a new job's folder and tools, who runs nothing yet; undefined where only an administrator could make them
 * theirs.
 */
export function stranger(): number | undefined {
  if (!isAdministrator()) return undefined;
  const taken = new Set(processes().map(({ user }) => user));
  for (let tries = 0; tries < STRANGERS.count; tries += 1) {
    strangers = (strangers + 1) % STRANGERS.count;
    const uid = STRANGERS.first + strangers;
    if (!taken.has(uid) && !taken.has(ghostOf(uid))) return uid;
  }
  throw new Error('there is no user left for a tool');
}

/**
 * The command that runs another one within bounds, as whoever owns the folder that it works in.
 * @param folder undefined for a command that touches no files.
 */
export async function confined(
  { offline, rightless, asOther, inFolder }: Confinement,
  command: readonly string[],
  folder: string | undefined,
  { fileBytes, memoryBytes }: Bounds,
): Promise<[program: string, args: string[]]> {
  const owner = folder === undefined ? stranger() : await ownerOf(folder);
  const user = asOther && isChange(owner) ? owner : undefined;
  const blocks = String(Math.ceil(fileBytes / 512));
  const kib = memoryBytes === undefined ? '' : String(Math.ceil(memoryBytes / 1024));
  // Of ourselves much more may run.
  const count = user === undefined ? '' : String(MAX_PROCESSES);
  const limited = ['/bin/sh', '-c', LIMITED, 'sh', blocks, kib, count, ...command];
  const held = rightless ? asUser(user, inFolder ? writingTo(folder) : []) : [];
  const [program = '', ...args] = [...offline, ...held, ...limited];
  return [program, args];
}

/**
 * Ends what tools that ran in a folder have left behind, so that nobody changes it any more while we read or remove
 * it. Where they ran as ourselves there is no telling them from us, and nothing is done.
 * @throws when they do not end.
 */
export async function endTools(folder: string): Promise<void> {
  const owner = await ownerOf(folder);
  if (isAdministrator() && isStranger(owner)) await endUser(owner, ghostOf(owner));
}

/** Of the folder itself, were it a link; undefined when it is not there. */
async function ownerOf(folder: string): Promise<number | undefined> {
  try {
    return (await lstat(folder)).uid;
  } catch (error) {
    if (hasSystemCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

function isStranger(uid: number | undefined): uid is number {
  if (uid === undefined) return false;
  return uid >= STRANGERS.first && uid < STRANGERS.first + STRANGERS.count;
}

/** Only an administrator can become somebody else. */
function isChange(uid: number | undefined): uid is number {
  return isAdministrator() && uid !== undefined && uid !== 0;
}

function isAdministrator(): boolean {
  return process.getuid?.() === 0;
}

/**
 * Takes rights away, whoever it is. What may be inherited is emptied, and with it the ambient set, which would
 * outlive a change of user; whatever could be gained by a program's file is not, with no new privileges. An
 * administrator who stays one has every right again with the next program, unless none may be had at all.
 */
function asUser(
  uid: number | undefined,
  held: readonly string[] = [],
): [program: string, ...string[]] {
  const other = ['--reuid', `${uid}`, '--regid', `${uid}`, '--clear-groups'];
  const none = isAdministrator() ? ['--bounding-set=-all'] : [];
  return [
    'setpriv',
    ...(uid === undefined ? none : other),
    '--inh-caps=-all',
    '--no-new-privs',
    ...held,
    '--',
  ];
}

function writingTo(folder: string | undefined): string[] {
  const own = folder === undefined ? [] : ['--landlock-rule', `path-beneath:${WRITES}:${folder}`];
  const rules = WRITABLE.flatMap((path) => ['--landlock-rule', `path-beneath:write-file:${path}`]);
  return ['--landlock-access', `fs:${WRITES}`, ...rules, ...own];
}
