// Responsible for what Linux knows of running processes: their CPU time and memory. `proc(5)`.
import { readdir, readFile, writeFile } from 'node:fs/promises';

/** Linux reports times to programs in hundredths of a second, whatever its own clock is. */
const TICKS = 100;
// Fields of /proc/<pid>/stat, counted from behind the name, which may hold spaces: the third is first.
const GROUP = 2;
const USER = 11;
const SYSTEM = 12;
const ENDED_USER = 13;
const ENDED_SYSTEM = 14;

export interface Cpu {
  /** Seconds of CPU of the process itself. */
  readonly own: number;
  /** Seconds of CPU of its children that have ended, and of theirs. */
  readonly ended: number;
}

/** What a process has used so far. */
export async function cpuOf(pid: number): Promise<Cpu> {
  const fields = await statOf(pid);
  return {
    own: seconds(fields, USER, SYSTEM),
    ended: seconds(fields, ENDED_USER, ENDED_SYSTEM),
  };
}

/** Seconds of CPU of all processes of a group, which must not end meanwhile. */
export async function cpuOfGroup(group: number): Promise<number> {
  let sum = 0;
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    // A process may end between being listed and being read.
    const fields = await statOf(Number(name)).catch(() => []);
    if (fields[GROUP] === group) sum += seconds(fields, USER, SYSTEM);
  }
  return sum;
}

/** The most memory that a process has held since `forgetPeak`, bytes. */
export async function peakMemoryOf(pid: number): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s*(\d+) kB/m.exec(status)?.[1]) * 1024;
}

/** Makes the present memory of a process its peak. */
export async function forgetPeak(pid: number): Promise<void> {
  await writeFile(`/proc/${pid}/clear_refs`, '5');
}

async function statOf(pid: number): Promise<number[]> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8');
  return stat
    .slice(stat.lastIndexOf(')') + 2)
    .split(' ')
    .map(Number);
}

function seconds(fields: readonly number[], user: number, system: number): number {
  return ((fields[user] ?? 0) + (fields[system] ?? 0)) / TICKS;
}
