import { useCallback, useEffect, useReducer, useRef, useState } from 'react';
import type { ListOptions } from './client.ts';
import { listReducer, NO_LIST, type ListEvent, type ListState } from './list-state.ts';
import { useExportClient } from './provider.ts';
import { errorOf } from './timing.ts';

/** `status` or `tag`, not both; `limit` is the size of a page. */
export type ListInput = Pick<ListOptions, 'status' | 'tag' | 'limit'>;

export interface ExportList extends ListState {
  readonly loadMore: () => void;
  /** Reads the first page again and keeps what was loaded beyond it. */
  readonly refresh: () => void;
}

/** A list, and what was asked: rows of another filter, or of another owner, are never shown. */
interface Answered {
  readonly ask: unknown;
  readonly list: ListState;
}

const listOf = (answered: Answered, ask: unknown) =>
  answered.ask === ask ? answered.list : NO_LIST;

const reduce = (answered: Answered, { ask, event }: { ask: unknown; event: ListEvent }) => ({
  ask,
  list: listReducer(listOf(answered, ask), event),
});

/** The past exports, newest first, a page at a time, as they were when it was read. */
export function useExportList({ status, tag, limit = 20 }: ListInput = {}): ExportList {
  const client = useExportClient();
  const ask = useCallback(
    (cursor: string | undefined, signal: AbortSignal) =>
      client.listExports({ status, tag, limit, cursor, signal }),
    [client, status, tag, limit],
  );
  const [answered, dispatch] = useReducer(reduce, { ask, list: NO_LIST });
  const [round, setRound] = useState(0);

  const read = useCallback(
    async (cursor: string | undefined, signal: AbortSignal) => {
      const tell = (event: ListEvent) => {
        if (!signal.aborted) dispatch({ ask, event });
      };
      tell({ type: 'loading' });
      try {
        const page = await ask(cursor, signal);
        tell({ type: cursor === undefined ? 'first' : 'more', page });
      } catch (error) {
        tell({ type: 'failed', error: errorOf(error) });
      }
    },
    [ask],
  );
  // Of one question: aborted with it, while a first page is read anew beside a further one.
  const asking = useRef<AbortController | null>(null);
  useEffect(() => {
    const own = new AbortController();
    asking.current = own;
    return () => own.abort();
  }, [read]);
  useEffect(() => {
    const reading = new AbortController();
    void read(undefined, reading.signal);
    return () => reading.abort();
  }, [read, round]);

  const list = listOf(answered, ask);
  const { cursor } = list;
  const loadMore = useCallback(() => {
    if (cursor !== null && asking.current) void read(cursor, asking.current.signal);
  }, [cursor, read]);
  const refresh = useCallback(() => setRound((n) => n + 1), []);
  return { ...list, loadMore, refresh };
}
