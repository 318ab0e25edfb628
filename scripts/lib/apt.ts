import { existsSync } from 'node:fs';
import { run } from './run.ts';

/**
 * Installs a package with apt-get, without questions; only as root on a Debian, as in a container: elsewhere
 * it is the user's own business. Says why it fails. @returns whether it is installed now.
 */
export async function aptInstall(name: string, say: (text: string) => void): Promise<boolean> {
  if (!canApt()) return false;
  say(`${name} is not installed; installing it with apt-get (about a minute)…`);
  const env = { DEBIAN_FRONTEND: 'noninteractive' };
  const steps = [['update'], ['install', '-y', '--no-install-recommends', name]];
  for (const args of steps) {
    const { code, output } = await run('/usr/bin/apt-get', args, { env });
    if (code === 0) continue;
    const tail = output.trimEnd().split('\n').slice(-3).join('\n');
    say(`apt-get ${args.join(' ')} failed (${code}):\n${tail}`);
    return false;
  }
  return true;
}

function canApt(): boolean {
  const isRoot = process.getuid?.() === 0;
  return isRoot && existsSync('/etc/debian_version') && existsSync('/usr/bin/apt-get');
}
