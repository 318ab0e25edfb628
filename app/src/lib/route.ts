import { useSyncExternalStore } from 'react';

/** The job that the address names, as `#/jobs/{id}`. */
function jobInAddress(): string | null {
  const id = /^#\/jobs\/([^/]+)$/.exec(location.hash)?.[1];
  if (id === undefined) return null;
  try {
    return decodeURIComponent(id);
  } catch {
    // Not an address that we made: there is no such job, and the page will say so.
    return id;
  }
}

function onChange(listener: () => void): () => void {
  addEventListener('hashchange', listener);
  return () => removeEventListener('hashchange', listener);
}

export function useJobInAddress(): string | null {
  return useSyncExternalStore(onChange, jobInAddress);
}

export const hrefOf = (jobId: string) => `#/jobs/${encodeURIComponent(jobId)}`;

/** Shows a job, or with null the page for a new export. */
export function goTo(jobId: string | null): void {
  location.hash = jobId === null ? '#/' : hrefOf(jobId);
}
