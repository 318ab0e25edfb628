import { readFile } from 'node:fs/promises';
import { totalmem } from 'node:os';

const LOOK_MS = 500;

/** What one tool may hold at most, bytes: with more, the kernel would soon end somebody, and maybe us. */
export function memoryLimit(): number {
  return 0.8 * Math.min(process.constrainedMemory() || Infinity, totalmem());
}

/**
 * Calls back once when a process holds more memory than `limit`, bytes; only on Linux.
 * @returns ends the watching.
 */
export function watchMemory(pid: number | undefined, limit: number, onExcess: () => void) {
  const timer = setInterval(() => void look(), LOOK_MS);
  const look = async () => {
    if ((await heldBy(pid)) <= limit) return;
    clearInterval(timer);
    onExcess();
  };
  return () => clearInterval(timer);
}

async function heldBy(pid: number | undefined): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '');
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024;
}
