import type { ExportJob } from '@export-jobs/protocol';
import type { Job } from '../job/job.ts';
import type { JobEvent } from '../job/events.ts';
import type { Settings } from '../lib/env.ts';
import { EFFECT_TIMEOUT_MS } from './drain.ts';
import { mirrorToD1 } from './handlers/mirror-to-d1.ts';
import { dispatch, stopRemote } from './handlers/runpod.ts';

/** The present truth, and the way to tell what an effect brought about. */
export interface EffectContext {
  job: Job | null;
  view: ExportJob | null;
  db: D1Database;
  settings: Settings;
  apply(event: JobEvent): unknown;
}

/**
 * Carries out one effect by its key, judged by the job as it is now.
 * @throws when it was not confirmed within `EFFECT_TIMEOUT_MS` and must be tried again.
 */
export async function perform(key: string, context: EffectContext): Promise<void> {
  const { job, view, settings } = context;
  if (!job || !view) return;
  if (key === 'mirror') return within(() => mirrorToD1(context.db, job, view));
  if (key.startsWith('stop:')) {
    return within((signal) => stopRemote(key.slice('stop:'.length), settings, signal));
  }
  // An attempt that was cancelled, claimed or replaced meanwhile needs no hand-over any more.
  if (job.state !== 'dispatching' || key !== `dispatch:${job.attempt}`) return;
  const remoteId = await within((signal) => dispatch(job, settings, signal));
  const { attempt } = job;
  context.apply(
    remoteId === null
      ? { type: 'dispatch_failed', attempt }
      : { type: 'dispatched', attempt, remoteId },
  );
}

/**
 * Bounds an effect. `AbortSignal.timeout` would do, but its timer cannot be stopped and keeps the
 * object awake, and billed, for its whole length.
 */
async function within<T>(effect: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const expired = new Promise<never>((_, reject) => {
    timer = setTimeout(() => {
      reject(new Error('timed out'));
      controller.abort();
    }, EFFECT_TIMEOUT_MS);
  });
  try {
    return await Promise.race([effect(controller.signal), expired]);
  } finally {
    clearTimeout(timer);
  }
}
