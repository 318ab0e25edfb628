/**
 * Hears, until `signal` aborts, when a machine, tab or network comes back, and after how many ms out of
 * sight; Infinity when old connections are likely dead. Hears nothing where there are no such events.
 */
export function onWake(listener: (awayMs: number) => void, signal: AbortSignal): void {
  const page = globalThis.document;
  // Who came while the page was hidden has been away since then, as far as this matters.
  let hiddenAt = Date.now();
  const back = () => listener(Infinity);
  globalThis.addEventListener?.('online', back, { signal });
  globalThis.addEventListener?.('pageshow', (event) => event.persisted && back(), { signal });
  page?.addEventListener('resume', back, { signal });
  page?.addEventListener(
    'visibilitychange',
    () => {
      if (page.hidden) hiddenAt = Date.now();
      else listener(Date.now() - hiddenAt);
    },
    { signal },
  );
}
