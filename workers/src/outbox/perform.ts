import type { ExportJob } from '@export-jobs/protocol';
import type { Job } from '../job/job.ts';
import type { JobEvent } from '../job/events.ts';
import type { Settings } from '../lib/env.ts';
import { EFFECT_TIMEOUT_MS } from './drain.ts';
import { mirrorToD1 } from './handlers/mirror-to-d1.ts';
import { discardLeftovers, findLostOutput } from './handlers/outputs.ts';
import { dispatch, stopRemote } from './handlers/runpod.ts';

/** The present truth, and the way to tell what an effect brought about. */
export interface EffectContext {
  job: Job | null;
  view: ExportJob | null;
  db: D1Database;
  bucket: R2Bucket;
  settings: Settings;
  /** When the sweeper is to look at the job, epoch ms. */
  lookAt(): number | null;
  apply(event: JobEvent): unknown;
}

/**
 * Carries out one effect by its key, judged by the job as it is now.
 * @throws when it was not confirmed within `EFFECT_TIMEOUT_MS` and must be tried again.
 */
export async function perform(key: string, context: EffectContext): Promise<void> {
  const { job, view, bucket } = context;
  if (!job || !view) return;
  const [kind = '', of = ''] = key.split(/:(.*)/s);
  switch (kind) {
    case 'mirror':
      return within(() => mirrorToD1(context.db, job, view, context.lookAt()));
    case 'dispatch':
      return dispatchAttempt(Number(of), job, context);
    case 'stop':
      return within((signal) => stopRemote(of, context.settings, signal));
    case 'adopt':
      return adopt(of, job, context);
    case 'discard':
      return within(() => discardLeftovers(bucket, job));
    default:
      throw new Error('unknown effect');
  }
}

async function dispatchAttempt(attempt: number, job: Job, context: EffectContext): Promise<void> {
  // An attempt that was cancelled, claimed or replaced meanwhile needs no hand-over any more.
  if (job.state !== 'dispatching' || job.attempt !== attempt) return;
  const remoteId = await within((signal) => dispatch(job, context.settings, signal));
  context.apply(
    remoteId === null
      ? { type: 'dispatch_failed', attempt }
      : { type: 'dispatched', attempt, remoteId },
  );
}

async function adopt(owner: string, job: Job, context: EffectContext): Promise<void> {
  const [attempt = 0, epoch = 0] = owner.split('.').map(Number);
  const found = await within(() => findLostOutput(context.bucket, job, { attempt, epoch }));
  if (found) context.apply(found);
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
