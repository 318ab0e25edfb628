import type { ExportJob, ExportOptionsInput, JobStatus } from '@export-jobs/protocol';
import {
  createContext,
  createElement,
  useCallback,
  useContext,
  useEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
  useSyncExternalStore,
  type ReactElement,
  type ReactNode,
} from 'react';
import type { Created, ExportClient } from './client.ts';
import { nextCreateState, type CreateState } from './create-state.ts';
import { listReducer, NO_LIST, type ListState } from './list-state.ts';
import { sharedWatch } from './shared.ts';
import type { UploadSource } from './upload.ts';
import type { WatchState } from './watch.ts';

export type { CreateState } from './create-state.ts';
export type { ListState } from './list-state.ts';

const Client = createContext<ExportClient | null>(null);

/** Gives the client to every hook below. */
export function ExportsProvider(props: {
  client: ExportClient;
  children?: ReactNode;
}): ReactElement {
  return createElement(Client.Provider, { value: props.client }, props.children);
}

/** The client of the nearest `ExportsProvider`. */
export function useExportClient(): ExportClient {
  const client = useContext(Client);
  if (client === null) throw new Error('useExportClient needs an <ExportsProvider> above it');
  return client;
}

const NOTHING: WatchState = { job: null, connection: 'idle', error: null, stale: false };
const nothing = () => NOTHING;
const never = () => () => undefined;

/**
 * Watches a job while the component is mounted. Components that watch the same job share one
 * socket. A null id watches nothing. `initial` shows at once, and is what server rendering shows.
 */
export function useExportJob(
  id: string | null,
  { initial }: { initial?: ExportJob | undefined } = {},
): WatchState {
  const client = useExportClient();
  const watch = useMemo(
    () => (id === null ? null : sharedWatch(client, id, initial)),
    // `initial` is left out: a newer one is offered below, to the same watch.
    [client, id],
  );
  useEffect(() => {
    if (initial !== undefined) watch?.offer(initial);
  }, [watch, initial]);
  return useSyncExternalStore(
    watch?.subscribe ?? never,
    watch?.getSnapshot ?? nothing,
    watch?.getSnapshot ?? nothing,
  );
}

export interface CreateExport {
  readonly state: CreateState;
  /** Resolves with the job, or with null when it failed or was aborted; `state` says which. */
  readonly start: (
    input: UploadSource | { upload_id: string },
    options?: ExportOptionsInput,
  ) => Promise<Created | null>;
  /** Stops what is on its way and forgets what failed. */
  readonly reset: () => void;
}

/** Uploads and creates one export at a time. Unmounting does not stop it: the user asked for it. */
export function useCreateExport(): CreateExport {
  const client = useExportClient();
  const [state, dispatch] = useReducer(nextCreateState, { phase: 'idle' });
  const running = useRef<AbortController | null>(null);

  const start = useCallback<CreateExport['start']>(
    async (input, options) => {
      running.current?.abort();
      const own = new AbortController();
      running.current = own;
      dispatch({ type: 'start', size: 'size' in input ? input.size : null });
      try {
        const reply = await client.createExport(input, options, {
          signal: own.signal,
          onUploadProgress: (sent) => dispatch({ type: 'sent', sent }),
          onUploaded: ({ upload_id }) => dispatch({ type: 'uploaded', upload_id }),
        });
        dispatch({ type: 'created', reply });
        return reply;
      } catch (error) {
        if (own.signal.aborted) return null;
        dispatch({
          type: 'failed',
          error: error instanceof Error ? error : new Error(String(error)),
        });
        return null;
      }
    },
    [client],
  );
  const reset = useCallback(() => {
    running.current?.abort();
    dispatch({ type: 'reset' });
  }, []);
  return { state, start, reset };
}

export interface ExportList extends ListState {
  readonly loadMore: () => void;
  /** Reads the first page again and keeps what was loaded beyond it. */
  readonly refresh: () => void;
}

/** Cancels a job; whoever watches it here sees that at once, even without a socket. */
export function useCancelExport(): (id: string) => Promise<ExportJob> {
  const client = useExportClient();
  return useCallback(
    async (id) => {
      const job = await client.cancelExport(id);
      sharedWatch(client, id, job).offer(job);
      return job;
    },
    [client],
  );
}

/** The past exports, newest first, a page at a time. */
export function useExportList(
  filter: { status?: JobStatus | undefined; limit?: number | undefined } = {},
): ExportList {
  const client = useExportClient();
  const { status, limit = 20 } = filter;
  const [state, dispatch] = useReducer(listReducer, NO_LIST);
  const [round, setRound] = useState(0);

  const read = useCallback(
    async (cursor: string | undefined, signal: AbortSignal) => {
      dispatch({ type: 'loading' });
      try {
        const page = await client.listExports({ status, limit, cursor, signal });
        dispatch({ type: cursor === undefined ? 'first' : 'more', page });
      } catch (error) {
        if (signal.aborted) return;
        dispatch({
          type: 'failed',
          error: error instanceof Error ? error : new Error(String(error)),
        });
      }
    },
    [client, status, limit],
  );
  useEffect(() => dispatch({ type: 'clear' }), [status]);
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
