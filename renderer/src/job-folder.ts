import { chown, mkdtemp, readdir, rm, statfs } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { RenderFailure } from './failure.ts';
import { stranger } from './ffmpeg/confine.ts';

const PREFIX = 'export-render-';

/** Where jobs keep their files: `RENDERER_TMP`, else the system's folder for temporary files. */
export function temporaryRoot(env: Readonly<Record<string, string | undefined>>): string {
  return env['RENDERER_TMP'] ?? tmpdir();
}

/**
 * Makes a job's own folder, which nobody else on this machine can read; where possible its tools, which run as its
 * owner, can read nothing else of ours.
 */
export async function makeJobFolder(root: string): Promise<string> {
  const folder = await mkdtemp(join(root, `${PREFIX}${process.pid}-`));
  const owner = stranger();
  // Not where an administrator is one in name only.
  if (owner !== undefined) await chown(folder, owner, owner).catch(() => undefined);
  return folder;
}

/** Removes what processes left that were killed. Called before this process has folders itself. */
export async function removeLeftovers(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const pid = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : NaN;
    if (pid === process.pid || (pid > 0 && !isAlive(pid))) {
      await rm(join(root, name), { recursive: true, force: true });
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
