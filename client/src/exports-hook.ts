import type { ExportJob } from '@export-jobs/protocol';
import { useEffect, useMemo, useSyncExternalStore } from 'react';
import { watchExports, type ExportsFilter, type ExportsState } from './feed.ts';
import { eachFrame } from './frame.ts';
import { useExportList, type ExportList, type ListInput } from './list-hook.ts';
import { onPages } from './list-state.ts';
import { useExportClient } from './provider.ts';
import { sharedFeed } from './shared.ts';

export interface ExportsInput extends ExportsFilter {
  /** What is known already; shown at once, kept up to date, and what server rendering shows. */
  initial?: readonly ExportJob[] | undefined;
}

/**
 * Watches all exports while the component is mounted: those that have not ended, and whatever changes from
 * then on, newest first. Components with the same filter share one socket.
 */
export function useExports({ tag, status, initial }: ExportsInput = {}): ExportsState {
  const client = useExportClient();
  const watch = useMemo(
    () => sharedFeed(client, { tag, status }, initial),
    // `initial` is left out: a newer one is offered below, to the same watch.
    [client, tag, status],
  );
  useEffect(() => {
    if (initial !== undefined) watch.offer(initial);
  }, [watch, initial]);
  const subscribe = useMemo(() => eachFrame(watch.subscribe), [watch]);
  // Of its own, because what a server renders for one visitor must not show what another has shared.
  const onServer = useMemo(() => {
    let state: ExportsState | null = null;
    return () => (state ??= watchExports(client, { tag, status, initial }).getSnapshot());
  }, [client, tag, status, initial]);
  return useSyncExternalStore(subscribe, watch.getSnapshot, onServer);
}

/** A list whose rows live; `connection` says how. */
export interface ExportHistory extends ExportList {
  readonly connection: ExportsState['connection'];
  /** Why the rows do not live, when `connection` is `closed`: the list is read all the same. */
  readonly feedError: Error | null;
}

const NO_JOBS: readonly ExportJob[] = [];

/**
 * The past exports a page at a time, and what happens to them now: new ones come first, progress moves, and
 * those that leave the filter go. All over one socket, whatever the status that is asked for.
 */
export function useExportHistory(filter: ListInput = {}): ExportHistory {
  const list = useExportList(filter);
  const { tag, status } = filter;
  const feed = useExports({ tag, initial: list.jobs });
  const { connection, deleted, error: feedError } = feed;
  // What a feed knew when it was closed only grows old.
  const live = connection === 'closed' ? NO_JOBS : feed.jobs;
  const { jobs: listed, cursor, loaded } = list;
  const shown = useMemo(
    () => (loaded ? onPages({ listed, cursor, live, deleted, status }) : []),
    [listed, cursor, loaded, live, deleted, status],
  );
  return { ...list, jobs: shown, connection, feedError };
}
