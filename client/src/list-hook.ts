import { useCallback, useEffect, useReducer, useState } from 'react';
import type { ListOptions } from './client.ts';
import { listReducer, NO_LIST, type ListState } from './list-state.ts';
import { useExportClient } from './provider.ts';

/** `status` or `tag`, not both; `limit` is the size of a page. */
export type ListInput = Pick<ListOptions, 'status' | 'tag' | 'limit'>;

export interface ExportList extends ListState {
  readonly loadMore: () => void;
  /** Reads the first page again and keeps what was loaded beyond it. */
  readonly refresh: () => void;
}

/** The past exports, newest first, a page at a time, as they were when it was read. */
export function useExportList({ status, tag, limit = 20 }: ListInput = {}): ExportList {
  const client = useExportClient();
  const [state, dispatch] = useReducer(listReducer, NO_LIST);
  const [round, setRound] = useState(0);

  const read = useCallback(
    async (cursor: string | undefined, signal: AbortSignal) => {
      dispatch({ type: 'loading' });
      try {
        const page = await client.listExports({ status, tag, limit, cursor, signal });
        dispatch({ type: cursor === undefined ? 'first' : 'more', page });
      } catch (error) {
        if (signal.aborted) return;
        dispatch({
          type: 'failed',
          error: error instanceof Error ? error : new Error(String(error)),
        });
      }
    },
    [client, status, tag, limit],
  );
  useEffect(() => dispatch({ type: 'clear' }), [status, tag]);
  useEffect(() => {
    const reading = new AbortController();
    void read(undefined, reading.signal);
    return () => reading.abort();
  }, [read, round]);

  const { cursor } = state;
  const loadMore = useCallback(() => {
    if (cursor !== null) void read(cursor, new AbortController().signal);
  }, [cursor, read]);
  const refresh = useCallback(() => setRound((n) => n + 1), []);
  return { ...state, loadMore, refresh };
}
