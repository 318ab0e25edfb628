// Responsible for an ffmpeg that this machine can run: one that is there, or else one installed.
import { pathToFileURL } from 'node:url';
import { existsSync } from 'node:fs';
import { locateFfmpeg } from '../renderer/src/ffmpeg/locate.ts';
import { run } from './lib/run.ts';
import { report, UserError } from './lib/user-error.ts';

type Found = Awaited<ReturnType<typeof locateFfmpeg>>;

/**
 * Finds ffmpeg and ffprobe: `FFMPEG_PATH`, then PATH, then (on a Debian as root) installs them with
 * apt-get, then the npm packages. Says what it does only when it does something.
 * @throws UserError with what to do when there is none.
 */
export async function ensureFfmpeg(say: (text: string) => void = console.error): Promise<Found> {
  let found = await locate();
  if (found instanceof Error && process.env['FFMPEG_PATH']) throw new UserError(found.message);
  const isMissing = found instanceof Error || found.from === 'npm';
  if (isMissing && canApt() && (await aptInstall(say))) found = await locate();
  if (found instanceof Error) throw new UserError(found.message);
  if (found.from === 'npm') {
    say('using the ffmpeg of an npm package: an old build with fewer formats (npm run doctor)');
  }
  return found;
}

async function locate(): Promise<Found | Error> {
  return await locateFfmpeg().catch((error: unknown) =>
    error instanceof Error ? error : new Error(String(error)),
  );
}

function canApt(): boolean {
  const isRoot = process.getuid?.() === 0;
  return isRoot && existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get');
}

/** Only as root and without questions, as in a container; elsewhere it is the user's own business. */
async function aptInstall(say: (text: string) => void): Promise<boolean> {
  say('ffmpeg is not installed; installing it with apt-get (about a minute)…');
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const steps = [['update'], ['install', '-y', '--no-install-recommends', 'ffmpeg']];
  for (const args of steps) {
    const { code, output } = await run('/usr/bin/apt-get', args, { env });
    if (code === 0) continue;
    const tail = output.trimEnd().split('\n').slice(-3).join('\n');
    say(`apt-get ${args.join(' ')} failed (${code}):\n${tail}`);
    return false;
  }
  return true;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    const { tools, from } = await ensureFfmpeg();
    console.log(`ffmpeg   ${tools.ffmpeg}\nffprobe  ${tools.ffprobe}\nfrom     ${from}`);
  } catch (error) {
    report(error);
    process.exitCode = 1;
  }
}
