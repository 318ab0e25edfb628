import type { ExportJob, ExportOptionsInput } from '@export-jobs/protocol';
import { useCallback, useEffect, useMemo, useReducer, useRef, useSyncExternalStore } from 'react';
import type { Created, ExportInput } from './client.ts';
import { nextCreateState, type CreateState } from './create-state.ts';
import { eachFrame } from './frame.ts';
import { useExportClient } from './provider.ts';
import { share, shareDeletion, sharedWatch } from './shared.ts';
import type { WatchState } from './watch.ts';

export { useTimeLeft } from './eta-hook.ts';
export type { TimeLeft } from './eta.ts';
export type { CreateState } from './create-state.ts';
export type { ListState } from './list-state.ts';
export { useExportHistory, useExports } from './exports-hook.ts';
export type { ExportHistory, ExportsInput } from './exports-hook.ts';
export type { ExportsState } from './feed.ts';
export { useExportList } from './list-hook.ts';
export type { ExportList, ListInput } from './list-hook.ts';
export { ExportProgress } from './progress.ts';
export type { ExportProgressProps, ProgressShown } from './progress.ts';
export { ExportsProvider, useExportClient } from './provider.ts';
export { useUpload } from './upload-hook.ts';
export type { Upload, UploadError, UploadState } from './upload-hook.ts';

const NOTHING: WatchState = { job: null, connection: 'idle', via: null, error: null, stale: false };
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
  readonly start: (input: ExportInput, options?: ExportOptionsInput) => Promise<Created | null>;
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
          onResume: (sent) => dispatch({ type: 'resumed', sent }),
          onUploaded: ({ upload_id }) => dispatch({ type: 'uploaded', upload_id }),
        });
        share(client, reply.job);
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

/** Cancels a job; whoever watches it here sees that at once, even without a socket. */
export function useCancelExport(): (id: string) => Promise<ExportJob> {
  const client = useExportClient();
  return useCallback(
    async (id) => {
      const job = await client.cancelExport(id);
      share(client, job);
      return job;
    },
    [client],
  );
}

/** Deletes a job that has ended, and its file; feeds here drop it at once, even without a socket. */
export function useDeleteExport(): (id: string) => Promise<void> {
  const client = useExportClient();
  return useCallback(
    async (id) => {
      await client.deleteExport(id);
      shareDeletion(client, id);
    },
    [client],
  );
}
