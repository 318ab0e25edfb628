import type { ExportJob } from '@export-jobs/protocol';
import type { ExportClient } from './client.ts';
import { watchExports, type ExportsFilter, type ExportsWatch } from './feed.ts';
import type { ExportWatch } from './watch.ts';

/** What many components share, by what it is of. Held weakly: who rendered but never mounted leaves nothing. */
type Registry<W extends WeakKey> = WeakMap<ExportClient, Map<string, WeakRef<W>>>;

const watches: Registry<ExportWatch> = new WeakMap();
const feeds: Registry<ExportsWatch> = new WeakMap();

/** The one watch of a job for a client. */
export const sharedWatch = (client: ExportClient, id: string, initial?: ExportJob): ExportWatch =>
  shared(watches, client, id, () => client.watchExport(id, { initial }));

/** The one watch of all jobs that fit a filter, for a client. */
export const sharedFeed = (
  client: ExportClient,
  { tag, status }: ExportsFilter,
  initial?: readonly ExportJob[],
): ExportsWatch =>
  shared(feeds, client, JSON.stringify([tag, status]), () =>
    watchExports(client, { tag, status, initial }),
  );

/** Tells everyone who watches of a job that a call has just answered with. */
export function share(client: ExportClient, job: ExportJob): void {
  watches.get(client)?.get(job.id)?.deref()?.offer(job);
  for (const feed of feeds.get(client)?.values() ?? []) feed.deref()?.offer([job]);
}

/** Tells every feed of a job that a call has just deleted; who looks at it anew is told that it is no more. */
export function shareDeletion(client: ExportClient, id: string): void {
  watches.get(client)?.delete(id);
  for (const feed of feeds.get(client)?.values() ?? []) feed.deref()?.forget(id);
}

function shared<W extends ExportWatch | ExportsWatch>(
  registry: Registry<W>,
  client: ExportClient,
  key: string,
  make: () => W,
): W {
  const all = registry.get(client) ?? new Map<string, WeakRef<W>>();
  registry.set(client, all);
  const known = all.get(key)?.deref();
  // An error ended that one for good; whoever asks again deserves another try.
  if (known !== undefined && known.getSnapshot().error === null) return known;
  for (const [name, ref] of all) if (ref.deref() === undefined) all.delete(name);
  const watch = make();
  all.set(key, new WeakRef(watch));
  return watch;
}
