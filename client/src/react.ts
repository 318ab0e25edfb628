import type { ExportJob, ExportOptionsInput, JobStatus } from '@export-jobs/protocol';
import {
  useCallback,
  useEffect,
  useMemo,
  useReducer,
  useRef,
  useState,
  useSyncExternalStore,
} from 'react';
import type { Created } from './client.ts';
import { nextCreateState, type CreateState } from './create-state.ts';
import { listReducer, NO_LIST, type ListState } from './list-state.ts';
import { useExportClient } from './provider.ts';
import { sharedWatch } from './shared.ts';
import type { UploadSource } from './upload.ts';
import type { ExportWatch, WatchState } from './watch.ts';

export type { CreateState } from './create-state.ts';
export type { ListState } from './list-state.ts';
export { ExportProgress } from './progress.ts';
export type { ExportProgressProps, ProgressShown } from './progress.ts';
export { ExportsProvider, useExportClient } from './provider.ts';
export { useUpload } from './upload-hook.ts';
export type { Upload, UploadError, UploadState } from './upload-hook.ts';

const NOTHING: WatchState = { job: null, connection: 'idle', via: null, error: null, stale: false };
const nothing = () => NOTHING;
const never = () => () => undefined;

/** Hears of changes at most once a frame; at once where there are no frames, or nobody sees them. */
const eachFrame =
  (subscribe: ExportWatch['subscribe']): ExportWatch['subscribe'] =>
  (listener) => {
    const hasFrames = typeof requestAnimationFrame === 'function';
    let frame: number | null = null;
    const unsubscribe = subscribe(() => {
      if (!hasFrames || document.hidden) return listener();
      frame ??= requestAnimationFrame(() => {
        frame = null;
        listener();
      });
    });
    return () => {
      unsubscribe();
      if (frame !== null) cancelAnimationFrame(frame);
    };
  };

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
  const subscribe = useMemo(() => (watch === null ? never : eachFrame(watch.subscribe)), [watch]);
  return useSyncExternalStore(
    subscribe,
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
