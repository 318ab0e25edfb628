// Responsible for what the bench asks Linux about processes, beyond `../../overhead/processes.ts`.
import { readdir, readFile } from 'node:fs/promises';
import { cpuOf } from '../../overhead/processes.ts';

const STAT = /^\d+ \((?<name>.*)\) \S (?<parent>\d+) /s;

/** The children of a process that run a program of this name. */
export async function childrenOf(parent: number, program: string): Promise<number[]> {
  const found: number[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    // A process may end between being listed and being read.
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const { name, parent: its } = STAT.exec(stat)?.groups ?? {};
    if (name === program && Number(its) === parent) found.push(Number(pid));
  }
  return found;
}

/** CPU seconds that some processes have used so far, in all of their threads. */
export async function cpuOfAll(pids: readonly number[]): Promise<number> {
  const used = await Promise.all(pids.map(cpuOf));
  return used.reduce((sum, { own }) => sum + own, 0);
}

/** The memory that some processes hold, bytes. */
export async function memoryOfAll(pids: readonly number[]): Promise<number> {
  const held = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/status`, 'utf8')));
  const kilobytes = held.map((status) => Number(/^VmRSS:\s*(\d+) kB/m.exec(status)?.[1]));
  return kilobytes.reduce((sum, one) => sum + one, 0) * 1024;
}
