import type { ExportJob } from '@export-jobs/protocol';
import type { Usage } from '../job/cost.ts';
import type { Job } from '../job/job.ts';
import type { LogEntry } from '../job/log.ts';
import type { JobEvent } from '../job/events.ts';
import type { Settings } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { cancelJob } from '../lib/runpod.ts';
import { within } from '../lib/within.ts';
import { EFFECT_TIMEOUT_MS, RetryLater } from './drain.ts';
import type { Outcome, OutboxItem } from './drain.ts';
import { mirrorToD1 } from './handlers/mirror-to-d1.ts';
import { discardLeftovers, findLostOutput } from './handlers/outputs.ts';
import { askProvider, dispatch } from './handlers/runpod.ts';

/** The present truth, and the way to tell what an effect brought about. */
export interface EffectContext {
  job: Job | null;
  view: ExportJob | null;
  log: readonly LogEntry[];
  /** Where rows of D1 are counted. */
  usage: Usage;
  db: D1Database;
  bucket: R2Bucket;
  settings: Settings;
  /** When the sweeper is to look at the job, epoch ms. */
  lookAt(): number | null;
  apply(event: JobEvent): unknown;
  /** Tells the owner's feed of a change that D1 has. */
  tellFeed(view: ExportJob): void;
}

/**
 * Carries out one effect by its key, judged by the job as it is now. Returns what tells the job of it.
 * @throws when it was not confirmed within `EFFECT_TIMEOUT_MS` and must be tried again.
 */
export async function perform(item: OutboxItem, context: EffectContext): Promise<Outcome> {
  const { job, view, bucket } = context;
  if (!job || !view) return null;
  const [kind = '', of = ''] = item.key.split(/:(.*)/s);
  switch (kind) {
    case 'mirror':
      return mirror(job, view, context);
    case 'dispatch':
      return dispatchAttempt(Number(of), item.interrupted, job, context);
    case 'ask':
      return ask(of, job, context);
    case 'stop':
      await within(EFFECT_TIMEOUT_MS, (signal) => cancelJob(of, context.settings, signal));
      return null;
    case 'adopt':
      return adopt(of, job, context);
    case 'discard':
      await within(EFFECT_TIMEOUT_MS, () => discardLeftovers(bucket, job));
      return null;
    default:
      throw new Error('unknown effect');
  }
}

/** Asks a question that nobody owes: without an answer it is forgotten. Never rejects. */
export async function askOnce(key: string, context: EffectContext): Promise<void> {
  try {
    const outcome = await perform({ key, version: 0, tries: 0, interrupted: false }, context);
    outcome?.();
  } catch (error) {
    logError('the provider does not say', { job: context.job?.id, key, error: String(error) });
  }
}

async function mirror(job: Job, view: ExportJob, context: EffectContext): Promise<Outcome> {
  const { db, log, usage } = context;
  const lookAt = context.lookAt();
  usage.rows += await within(EFFECT_TIMEOUT_MS, () => mirrorToD1(db, { job, view, log, lookAt }));
  // After D1: whoever comes to the feed reads there what was told before.
  return () => context.tellFeed(view);
}

async function dispatchAttempt(
  attempt: number,
  interrupted: boolean,
  job: Job,
  context: EffectContext,
): Promise<Outcome> {
  // An attempt that was cancelled, claimed or replaced meanwhile needs no hand-over any more.
  if (job.state !== 'dispatching' || job.attempt !== attempt) return null;
  const unknown = () => void context.apply({ type: 'dispatch_unknown', attempt });
  if (interrupted) return unknown;
  try {
    const event = await within(EFFECT_TIMEOUT_MS, (signal) =>
      dispatch(job, context.settings, signal),
    );
    return () => void context.apply(event);
  } catch (error) {
    if (error instanceof RetryLater) throw error;
    logError('dispatch unknown', { job: job.id, attempt, error: String(error) });
    return unknown;
  }
}

async function ask(remoteId: string, job: Job, context: EffectContext): Promise<Outcome> {
  const isThere = job.state === 'dispatched' || job.state === 'running';
  if (!isThere || job.remoteId !== remoteId) return null;
  const asked = { remoteId, isWaiting: job.state === 'dispatched' };
  const event = await within(EFFECT_TIMEOUT_MS, (signal) =>
    askProvider(asked, context.settings, signal),
  );
  return () => void context.apply(event);
}

async function adopt(owner: string, job: Job, context: EffectContext): Promise<Outcome> {
  const [attempt = 0, epoch = 0] = owner.split('.').map(Number);
  const found = await within(EFFECT_TIMEOUT_MS, () =>
    findLostOutput(context.bucket, job, { attempt, epoch }),
  );
  return found && (() => void context.apply(found));
}
