import type { UploadedReply } from '@export-jobs/protocol';
import { useCallback, useEffect, useReducer, useRef } from 'react';
import { ExportApiError, ExportTransportError } from './errors.ts';
import { useExportClient } from './provider.ts';
import type { UploadSource } from './upload.ts';

/** The server refused, or could not be reached; `name` tells which. */
export type UploadError = ExportApiError | ExportTransportError;

/** Where an upload stands. `sent` and `size` in bytes. */
export type UploadState =
  | { phase: 'idle' }
  | { phase: 'uploading'; sent: number; size: number }
  | { phase: 'uploaded'; upload: UploadedReply }
  | { phase: 'failed'; error: UploadError };

export interface Upload {
  readonly state: UploadState;
  /** Resolves with the upload, or with null when it failed or was aborted; `state` says which. */
  readonly start: (source: UploadSource) => Promise<UploadedReply | null>;
  /** Stops what is on its way and forgets what failed. */
  readonly abort: () => void;
}

/** A repeated upload starts over; the bar must not. */
function nextUploadState(state: UploadState, next: UploadState): UploadState {
  if (state.phase !== 'uploading' || next.phase !== 'uploading') return next;
  return next.sent < state.sent && next.sent > 0 ? state : next;
}

/** Uploads one file at a time. Unmounting stops it: nobody would hear where the file went. */
export function useUpload(): Upload {
  const client = useExportClient();
  const [state, dispatch] = useReducer(nextUploadState, { phase: 'idle' });
  const running = useRef<AbortController | null>(null);
  useEffect(() => () => running.current?.abort(), []);

  const start = useCallback<Upload['start']>(
    async (source) => {
      running.current?.abort();
      const { signal } = (running.current = new AbortController());
      const show = (next: UploadState) => {
        if (!signal.aborted) dispatch(next);
      };
      show({ phase: 'uploading', sent: 0, size: source.size });
      try {
        const onProgress = (sent: number, size: number) => show({ phase: 'uploading', sent, size });
        const upload = await client.uploadFile(source, { signal, onProgress });
        show({ phase: 'uploaded', upload });
        return signal.aborted ? null : upload;
      } catch (error) {
        if (signal.aborted) return null;
        const known = error instanceof ExportApiError || error instanceof ExportTransportError;
        show(known ? { phase: 'failed', error } : { phase: 'idle' });
        if (!known) throw error;
        return null;
      }
    },
    [client],
  );
  const abort = useCallback(() => {
    running.current?.abort();
    dispatch({ phase: 'idle' });
  }, []);
  return { state, start, abort };
}
