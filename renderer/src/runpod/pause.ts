/** Waits, ms; returns early, without an error, when the signal aborts. */
export async function pause(ms: number, signal?: AbortSignal): Promise<void> {
  if (signal?.aborted) return;
  await new Promise<void>((resolve) => {
    const end = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', end);
      resolve();
    };
    const timer = setTimeout(end, ms);
    signal?.addEventListener('abort', end);
  });
}

/** How long to wait before try `attempt` + 1 (from 0), ms: exponential, capped, with jitter. */
export function backoff(attempt: number, baseMs: number, capMs: number): number {
  return Math.min(capMs, baseMs * 2 ** attempt) * (0.5 + Math.random() / 2);
}

/**
 * A signal that aborts `ms` after `source` did, or after now if it already has.
 * @param over ends the waiting; every call must have one that aborts, or listeners pile up.
 */
export function abortLater(
  source: AbortSignal,
  ms: number,
  over: AbortSignal,
  reason?: Error,
): AbortSignal {
  const later = new AbortController();
  const begin = async () => {
    await pause(ms, over);
    if (!over.aborted) later.abort(reason);
  };
  if (source.aborted) void begin();
  else source.addEventListener('abort', () => void begin(), { once: true, signal: over });
  return later.signal;
}
