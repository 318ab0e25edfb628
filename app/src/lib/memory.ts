// What this browser remembers of its own exports: enough to show their frames in the list and to
// export the same upload again. Everything here is a convenience; the server has the truth.
import type { Facts } from './source.ts';

export interface Memory {
  uploadId: string;
  facts: Facts | null;
  strip: string | null;
}

const KEY = 'export-jobs.memory';
const KEPT = 24;

interface Entry extends Memory {
  jobId: string;
}

/** What is remembered of a job, or null. */
export function recall(jobId: string): Memory | null {
  return entries().find((entry) => entry.jobId === jobId) ?? null;
}

export function remember(jobId: string, memory: Memory): void {
  const others = entries().filter((entry) => entry.jobId !== jobId);
  const kept: Entry[] = [{ jobId, ...memory }, ...others];
  for (let count = KEPT; count > 0; count = Math.floor(count / 2)) {
    try {
      localStorage.setItem(KEY, JSON.stringify(kept.slice(0, count)));
      return;
    } catch {
      // Full, or storage is not allowed here: keep fewer, in the end none.
    }
  }
}

function entries(): Entry[] {
  try {
    const stored: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(stored) ? stored.filter(isEntry) : [];
  } catch {
    return [];
  }
}

function isEntry(value: unknown): value is Entry {
  return (
    typeof value === 'object' &&
    value !== null &&
    'jobId' in value &&
    typeof value.jobId === 'string' &&
    'uploadId' in value &&
    typeof value.uploadId === 'string' &&
    'strip' in value &&
    'facts' in value
  );
}
