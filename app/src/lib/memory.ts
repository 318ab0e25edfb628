// What this browser remembers of its own exports: enough to show their frames in the list and to
// export the same upload again. Everything here is a convenience; the server has the truth.
import { useSyncExternalStore } from 'react';
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

/** Read once, and again after another tab has written. */
let entries: readonly Entry[] | null = null;
const listeners = new Set<() => void>();

/** What is remembered of a job, or null; follows what is found out later. */
export function useMemory(jobId: string): Memory | null {
  return useSyncExternalStore(subscribe, () => recall(jobId));
}

export function remember(jobId: string, memory: Memory): void {
  const others = known().filter((entry) => entry.jobId !== jobId);
  keep([{ jobId, ...memory }, ...others].slice(0, KEPT));
}

/** Adds what has been found out about an upload to every export of it. */
export function amend(uploadId: string, { facts, strip }: Pick<Memory, 'facts' | 'strip'>): void {
  keep(known().map((entry) => (entry.uploadId === uploadId ? { ...entry, facts, strip } : entry)));
}

function recall(jobId: string): Memory | null {
  return known().find((entry) => entry.jobId === jobId) ?? null;
}

function subscribe(listener: () => void): () => void {
  if (listeners.size === 0) addEventListener('storage', renew);
  listeners.add(listener);
  return () => {
    listeners.delete(listener);
    if (listeners.size === 0) removeEventListener('storage', renew);
  };
}

function renew(event: StorageEvent): void {
  if (event.key !== KEY && event.key !== null) return;
  entries = null;
  for (const listener of listeners) listener();
}

function keep(next: readonly Entry[]): void {
  entries = next;
  for (const listener of listeners) listener();
  for (let count = KEPT; count > 0; count = Math.floor(count / 2)) {
    try {
      localStorage.setItem(KEY, JSON.stringify(next.slice(0, count)));
      return;
    } catch {
      // Full, or storage is not allowed here: keep fewer, in the end none.
    }
  }
}

function known(): readonly Entry[] {
  entries ??= stored();
  return entries;
}

function stored(): Entry[] {
  try {
    const parsed: unknown = JSON.parse(localStorage.getItem(KEY) ?? '[]');
    return Array.isArray(parsed) ? parsed.filter(isEntry) : [];
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
