import { chmod, chown, mkdir, mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { RenderFailure } from './failure.ts';
import { endTools, stranger, type Confinement } from './ffmpeg/confine.ts';

const PREFIX = 'export-render-';
const INNER = 'job';

/** Where jobs keep their files: `RENDERER_TMP`, else the system's folder for temporary files. */
export function temporaryRoot(env: Readonly<Record<string, string | undefined>>): string {
  return env['RENDERER_TMP'] ?? tmpdir();
}

/**
 * Makes a job's own folder, which nobody else on this machine can read; where possible its tools, which run as its
 * owner, can read nothing else of ours. What is around it is ours: its owner can put nothing else in its place.
 * @throws when it cannot be given to them though they are to run as somebody else.
 */
export async function makeJobFolder(root: string, { asOther }: Confinement): Promise<string> {
  const around = await mkdtemp(join(root, `${PREFIX}${process.pid}-`));
  try {
    const folder = join(around, INNER);
    await mkdir(folder, { mode: 0o700 });
    const owner = asOther ? stranger() : undefined;
    if (owner !== undefined) {
      await chmod(around, 0o711);
      await chown(folder, owner, owner);
    }
    return folder;
  } catch (error) {
    await rm(around, { recursive: true, force: true });
    throw error;
  }
}

/**
 * Ends what a job has left running, and removes its folder.
 * @throws when something goes on; the folder then stays, since what is removed could be exchanged meanwhile.
 */
export async function clearJobFolder(folder: string): Promise<void> {
  await endTools(folder);
  await rm(dirname(folder), { recursive: true, force: true });
}

/** Removes what processes left that were killed. Called before this process has folders itself. */
export async function removeLeftovers(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const pid = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : NaN;
    if (pid === process.pid || (pid > 0 && !isAlive(pid))) {
      await clearJobFolder(join(root, name, INNER));
    }
  }
}

/** What an output and its working files need at least, bytes. */
const HEADROOM = 64 * 1024 * 1024;

/**
 * Makes sure that a source of this size (bytes) fits; what the output needs is not known yet.
 * @throws RenderFailure `disk_full`.
 */
export async function requireSpace(folder: string, sourceSize: number): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (free < sourceSize + HEADROOM) {
    throw new RenderFailure('disk_full', `${free} bytes free for a source of ${sourceSize}`);
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}
