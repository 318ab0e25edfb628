// Responsible for an ffmpeg that this machine can run: one that is there, or else one installed.
import { pathToFileURL } from 'node:url';
import { locateFfmpeg } from '../renderer/src/ffmpeg/locate.ts';
import { aptInstall } from './lib/apt.ts';
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
  if (isMissing && (await aptInstall('ffmpeg', say))) found = await locate();
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

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  try {
    const { tools, from } = await ensureFfmpeg();
    console.log(`ffmpeg   ${tools.ffmpeg}\nffprobe  ${tools.ffprobe}\nfrom     ${from}`);
  } catch (error) {
    report(error);
    process.exitCode = 1;
  }
}
