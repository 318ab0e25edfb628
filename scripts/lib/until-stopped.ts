/**
 * Calls back at the first sign that this command should end: Ctrl-C, a terminating signal, a closed
 * terminal, or the death of the process that started it. Later signs are ignored, since ending
 * takes a bounded time and must not be cut short.
 */
export function onStop(callback: (sign: NodeJS.Signals | 'orphaned') => void): void {
  let stopped = false;
  const stop = (sign: NodeJS.Signals | 'orphaned') => {
    if (stopped) return;
    stopped = true;
    callback(sign);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, stop);
  process.once('disconnect', () => stop('orphaned'));
  // The channel exists to be lost; it must not keep the process alive.
  process.channel?.unref();
  // A terminal that was closed cannot be written to, which must not stop the tidying up.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => undefined);
}

/** Resolves at the first sign that this command should end. */
export async function untilStopped(): Promise<NodeJS.Signals | 'orphaned'> {
  return await new Promise((resolve) => onStop(resolve));
}
