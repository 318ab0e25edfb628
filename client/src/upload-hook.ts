import type { UploadedReply } from '@export-jobs/protocol';
import { useCallback, useEffect, useReducer, useRef } from 'react';
import { ExportApiError, ExportTransportError } from './errors.ts';
import { useExportClient } from './provider.ts';
import { UploadPause } from './upload-pause.ts';
import type { UploadSource } from './upload.ts';

/** The server refused, or could not be reached; `name` tells which. */
export type UploadError = ExportApiError | ExportTransportError;

/**
 * Where an upload stands. `sent` and `size` in bytes. `resuming`: it goes on, after a pause or from what an
 * earlier page has sent of the same file, and nothing more has been sent yet.
 */
export type UploadState =
  | { phase: 'idle' }
  | { phase: 'uploading' | 'paused' | 'resuming'; sent: number; size: number }
  | { phase: 'uploaded'; upload: UploadedReply }
  | { phase: 'failed'; error: UploadError };

export interface Upload {
  readonly state: UploadState;
  /** Resolves with the upload, or with null when it failed or was aborted; `state` says which. */
  readonly start: (source: UploadSource) => Promise<UploadedReply | null>;
  /** Holds a large upload until `resume`. What is on its way still arrives. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** Stops what is on its way and forgets what failed. */
  readonly abort: () => void;
}

type UploadEvent =
  | { type: 'is'; state: UploadState }
  | { type: 'sent'; sent: number }
  | { type: 'pause' }
  | { type: 'resume' };

export function nextUploadState(state: UploadState, event: UploadEvent): UploadState {
  if (event.type === 'is') return event.state;
  if (!('sent' in state)) return state;
  if (event.type === 'pause') return { ...state, phase: 'paused' };
  if (event.type === 'resume') {
    return state.phase === 'paused' ? { ...state, phase: 'resuming' } : state;
  }
  // A part that is sent again starts over; the bar must not.
  if (event.sent <= state.sent) return state;
  const phase = state.phase === 'paused' ? 'paused' : 'uploading';
  return { ...state, phase, sent: event.sent };
}

/** Uploads one file at a time. Unmounting stops it: nobody would hear where the file went. */
export function useUpload(): Upload {
  const client = useExportClient();
  const [state, dispatch] = useReducer(nextUploadState, { phase: 'idle' });
  const running = useRef<{ stop: AbortController; pause: UploadPause } | null>(null);
  useEffect(() => () => running.current?.stop.abort(), []);

  const start = useCallback<Upload['start']>(
    async (source) => {
      running.current?.stop.abort();
      const own = { stop: new AbortController(), pause: new UploadPause() };
      running.current = own;
      const { signal } = own.stop;
      const { size } = source;
      const happens = (event: UploadEvent) => {
        if (!signal.aborted) dispatch(event);
      };
      const show = (next: UploadState) => happens({ type: 'is', state: next });
      show({ phase: 'uploading', sent: 0, size });
      try {
        const upload = await client.uploadFile(source, {
          signal,
          pause: own.pause,
          onResume: (sent) => show({ phase: 'resuming', sent, size }),
          onProgress: (sent) => happens({ type: 'sent', sent }),
        });
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
  const pause = useCallback(() => {
    running.current?.pause.pause();
    dispatch({ type: 'pause' });
  }, []);
  const resume = useCallback(() => {
    running.current?.pause.resume();
    dispatch({ type: 'resume' });
  }, []);
  const abort = useCallback(() => {
    running.current?.stop.abort();
    dispatch({ type: 'is', state: { phase: 'idle' } });
  }, []);
  return { state, start, pause, resume, abort };
}
