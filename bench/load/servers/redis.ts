// Responsible for a Redis of the bench's own: found, or installed where that needs no question, and ended.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { connect } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from '../../../scripts/lib/port.ts';
import { run } from '../../../scripts/lib/run.ts';
import { endOf } from '../child.ts';
import { Absent } from './server.ts';

interface Redis {
  readonly port: number;
  readonly pid: number;
  close(): Promise<void>;
}

const PROGRAM = 'redis-server';
const PATIENCE_MS = 10_000;

/**
 * Starts Redis on loopback, in memory alone.
 * @throws Absent when there is none.
 */
export async function startRedis(folder: string): Promise<Redis> {
  if (!(await isThere()) && !(await install())) throw new Absent('no Redis');
  const port = await freePort();
  const address = ['--bind', '127.0.0.1', '--port', `${port}`];
  const memoryOnly = ['--save', '', '--appendonly', 'no', '--dir', folder];
  const child = spawn(PROGRAM, [...address, ...memoryOnly], { stdio: 'ignore' });
  // Whatever happens to us, it is not left behind.
  const kill = () => child.kill('SIGKILL');
  process.once('exit', kill);
  const close = async (): Promise<void> => {
    await endOf(child);
    process.off('exit', kill);
  };
  const deadline = Date.now() + PATIENCE_MS;
  while (!(await answers(port))) {
    if (child.exitCode === null && Date.now() < deadline) {
      await sleep(20);
      continue;
    }
    await close();
    throw new Error('Redis did not start');
  }
  return { port, pid: child.pid ?? 0, close };
}

async function isThere(): Promise<boolean> {
  return await run(PROGRAM, ['--version']).then(
    ({ code }) => code === 0,
    () => false,
  );
}

/** Only on a Debian as root, as in a container; elsewhere it is the user's own business. */
async function install(): Promise<boolean> {
  const apt = '/usr/bin/apt-get';
  if (process.getuid?.() !== 0 || !existsSync(apt)) return false;
  console.error(`${PROGRAM} is not installed; installing it with apt-get…`);
  // Else the package would start a Redis of the system's.
  const env = { DEBIAN_FRONTEND: 'noninteractive', RUNLEVEL: '1' };
  for (const args of [['update'], ['install', '-y', '--no-install-recommends', PROGRAM]]) {
    if ((await run(apt, args, { env })).code !== 0) return false;
  }
  return await isThere();
}

async function answers(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port });
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}
