/** `network`: old connections are likely dead. `visible`: someone looks again, so make sure. */
export type WakeReason = 'network' | 'visible';

/** Hears when a machine, tab or network comes back. Does nothing where there are no such events. */
export function onWake(listener: (reason: WakeReason) => void): () => void {
  if (typeof globalThis.addEventListener !== 'function') return () => undefined;
  const page = globalThis.document;
  const listening = new AbortController();
  const { signal } = listening;
  globalThis.addEventListener('online', () => listener('network'), { signal });
  globalThis.addEventListener(
    'pageshow',
    (event) => {
      if (event.persisted) listener('network');
    },
    { signal },
  );
  page?.addEventListener(
    'visibilitychange',
    () => {
      if (page.visibilityState === 'visible') listener('visible');
    },
    { signal },
  );
  return () => listening.abort();
}
