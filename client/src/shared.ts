import type { ExportJob } from '@export-jobs/protocol';
import type { ExportClient } from './client.ts';
import type { ExportWatch } from './watch.ts';

const registry = new WeakMap<ExportClient, Map<string, WeakRef<ExportWatch>>>();

/**
 * The one watch of a job for a client. Held weakly: a component that rendered but never mounted
 * leaves nothing behind.
 */
export function sharedWatch(
  client: ExportClient,
  id: string,
  initial: ExportJob | undefined,
): ExportWatch {
  const watches = registry.get(client) ?? new Map<string, WeakRef<ExportWatch>>();
  registry.set(client, watches);
  const known = watches.get(id)?.deref();
  // An error ended that one for good; whoever asks again deserves another try.
  if (known !== undefined && known.getSnapshot().error === null) return known;
  for (const [key, ref] of watches) if (ref.deref() === undefined) watches.delete(key);
  const watch = client.watchExport(id, { initial });
  watches.set(id, new WeakRef(watch));
  return watch;
}
