// Responsible for Debian's own Python with its WebSocket library, which some tests have as a viewer.
import { existsSync } from 'node:fs';
import { aptInstall } from './lib/apt.ts';
import { run } from './lib/run.ts';

const PYTHON = '/usr/bin/python3';

/** Finds Python with `websockets`, or installs that where it may. @returns null when there is none. */
export async function ensurePython(
  say: (text: string) => void = console.error,
): Promise<string | null> {
  if (await hasWebSockets()) return PYTHON;
  const isInstalled = await aptInstall('python3-websockets', say);
  return isInstalled && (await hasWebSockets()) ? PYTHON : null;
}

async function hasWebSockets(): Promise<boolean> {
  return existsSync(PYTHON) && (await run(PYTHON, ['-c', 'import websockets'])).code === 0;
}
