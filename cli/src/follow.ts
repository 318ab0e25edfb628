// Responsible for watching one export to its end.
import { type EndedJob, type ExportClient, type ExportJob, isEnded } from '@export-jobs/client';
import type { WatchState } from '@export-jobs/client';
import { CliError, EXIT } from './exit.ts';

export interface Following {
  /** Where to begin; it is told of too. */
  readonly job: ExportJob;
  /** Stops watching. The export itself goes on. */
  readonly signal: AbortSignal;
  /** How long the server may be out of reach, ms. */
  readonly patienceMs: number;
  /**
   * Called at every change of the job or of the connection, none left out. `isLost` when the job may be
   * old because the server is out of reach; `heardAt` is when the job came, epoch ms.
   */
  readonly onState: (job: ExportJob, isLost: boolean, heardAt: number) => void;
}

/**
 * @returns the job as it ended; a failed export is a result.
 * @throws the signal's reason; CliError when patience is at an end; what the server refuses.
 */
export async function followToEnd(
  client: Pick<ExportClient, 'watchExport'>,
  { job, signal, patienceMs, onState }: Following,
): Promise<EndedJob> {
  const ended = Promise.withResolvers<EndedJob>();
  const watch = client.watchExport(job.id, { initial: job, signal });
  let heard: ExportJob | null = null;
  let heardAt = 0;
  let timer: NodeJS.Timeout | undefined;
  const giveUp = () => {
    const minutes = `${Math.round(patienceMs / 6000) / 10} min`;
    const sentence = `The server has not been reached for ${minutes}. The export may go on.`;
    ended.reject(new CliError(EXIT.unreachable, sentence));
  };
  const setPatience = (connection: WatchState['connection']) => {
    const isHeard = connection === 'live' || connection === 'polling' || connection === 'closed';
    if (isHeard) clearTimeout(timer);
    if (isHeard) timer = undefined;
    else timer ??= setTimeout(giveUp, patienceMs);
  };
  const look = () => {
    const state = watch.getSnapshot();
    if (signal.aborted) return ended.reject(signal.reason);
    if (state.error !== null) return ended.reject(state.error);
    setPatience(state.connection);
    if (state.job !== heard) heardAt = Date.now();
    heard = state.job;
    if (state.job !== null) onState(state.job, state.stale, heardAt);
    if (isEnded(state.job)) ended.resolve(state.job);
  };
  const unsubscribe = watch.subscribe(look);
  signal.addEventListener('abort', look);
  try {
    look();
    return await ended.promise;
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', look);
    unsubscribe();
  }
}
