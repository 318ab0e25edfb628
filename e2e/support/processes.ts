import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';

/** How long what must come may take on a machine that does ten times more than this, ms. */
export const PATIENCE_MS = 150_000;

export interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly group: number;
  readonly program: string;
  readonly args: string;
  readonly cwd: string;
}

/** Every process of this machine that still runs, from /proc. */
export function processes(): Process[] {
  return readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .flatMap((name) => {
      try {
        const stat = readFileSync(`/proc/${name}/stat`, 'utf8');
        // The program's name may hold spaces and brackets; the fields come after the last one.
        const [state, parent, group] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
        if (state === 'Z') return [];
        return [
          {
            pid: Number(name),
            parent: Number(parent),
            group: Number(group),
            program: readlinkSync(`/proc/${name}/exe`).split('/').at(-1) ?? '',
            args: readFileSync(`/proc/${name}/cmdline`, 'utf8').replaceAll('\0', ' ').trim(),
            cwd: readlinkSync(`/proc/${name}/cwd`),
          },
        ];
      } catch {
        // It ended while it was being read.
        return [];
      }
    });
}

/** The processes below one, at any depth. */
export function descendants(pid: number): Process[] {
  const all = processes();
  const below = (parent: number): Process[] =>
    all
      .filter((process) => process.parent === parent)
      .flatMap((process) => [process, ...below(process.pid)]);
  return below(pid);
}

/** The most memory that a process ever held, bytes. */
export function peakMemory(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, 'utf8');
  return Number(/^VmHWM:\s*(\d+) kB/m.exec(status)?.[1] ?? Number.NaN) * 1024;
}

export function isAlive(pid: number): boolean {
  return processes().some((process) => process.pid === pid);
}

/**
 * Waits until something is so, asking ten times a second.
 * @throws after `timeoutMs`, naming what did not come.
 */
export async function until<T>(
  what: string,
  ask: () => T | undefined | false | Promise<T | undefined | false>,
  timeoutMs = PATIENCE_MS,
): Promise<T> {
  const deadline = Date.now() + timeoutMs;
  while (Date.now() < deadline) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    await sleep(100);
  }
  throw new Error(`this did not come within ${timeoutMs} ms: ${what}`);
}
