import type { ExportJob } from '@export-jobs/protocol';
import type { Job } from '../job/job.ts';
import type { JobEvent } from '../job/events.ts';
import type { Settings } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { cancelJob } from '../lib/runpod.ts';
import { EFFECT_TIMEOUT_MS, RetryLater } from './drain.ts';
import type { OutboxItem } from './drain.ts';
import { mirrorToD1 } from './handlers/mirror-to-d1.ts';
import { discardLeftovers, findLostOutput } from './handlers/outputs.ts';
import { askProvider, dispatch } from './handlers/runpod.ts';

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
export async function perform(item: OutboxItem, context: EffectContext): Promise<void> {
  const { job, view, bucket } = context;
  if (!job || !view) return;
  const [kind = '', of = ''] = item.key.split(/:(.*)/s);
  switch (kind) {
    case 'mirror':
      return within(() => mirrorToD1(context.db, job, view, context.lookAt()));
    case 'dispatch':
      return dispatchAttempt(Number(of), item.interrupted, job, context);
    case 'ask':
      return ask(of, job, context);
    case 'stop':
      return within((signal) => cancelJob(of, context.settings, signal));
    case 'adopt':
      return adopt(of, job, context);
    case 'discard':
      return within(() => discardLeftovers(bucket, job));
    default:
      throw new Error('unknown effect');
  }
}

/** Asks a question that nobody owes: without an answer it is forgotten. Never rejects. */
export async function askOnce(key: string, context: EffectContext): Promise<void> {
  try {
    await perform({ key, version: 0, tries: 0, interrupted: false }, context);
  } catch (error) {
    logError('the provider does not say', { job: context.job?.id, key, error: String(error) });
  }
}

async function dispatchAttempt(
  attempt: number,
  interrupted: boolean,
  job: Job,
  context: EffectContext,
): Promise<void> {
  // An attempt that was cancelled, claimed or replaced meanwhile needs no hand-over any more.
  if (job.state !== 'dispatching' || job.attempt !== attempt) return;
  const unknown = { type: 'dispatch_unknown', attempt } as const;
  if (interrupted) return void context.apply(unknown);
  try {
    context.apply(await within((signal) => dispatch(job, context.settings, signal)));
  } catch (error) {
    if (error instanceof RetryLater) throw error;
    logError('dispatch unknown', { job: job.id, attempt, error: String(error) });
    context.apply(unknown);
  }
}

async function ask(remoteId: string, job: Job, context: EffectContext): Promise<void> {
  const isThere = job.state === 'dispatched' || job.state === 'running';
  if (!isThere || job.remoteId !== remoteId) return;
  const isWaiting = job.state === 'dispatched';
  context.apply(
    await within((signal) => askProvider({ remoteId, isWaiting }, context.settings, signal)),
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
