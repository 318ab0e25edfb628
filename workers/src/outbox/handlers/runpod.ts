import type { RenderTicket, WaitReason } from '@export-jobs/protocol';
import type { EventOf, ProviderStatus } from '../../job/events.ts';
import type { Job } from '../../job/job.ts';
import type { Settings } from '../../lib/env.ts';
import { logError } from '../../lib/log.ts';
import { jobStatus, runJob, workerCounts } from '../../lib/runpod.ts';
import type { StatusView, WorkerCounts } from '../../lib/runpod.ts';
import { signToken } from '../../lib/tokens.ts';

// What RunPod is told and asked about a job, as events.

/** The tokens outlive the job's last deadline by this, so that a late call is told why it is late. */
const TOKEN_GRACE_MS = 5 * 60_000;
/** RunPod's own bounds of `policy.executionTimeout` and `policy.ttl`, ms. */
const LIMITS = { min: 10_000, max: 7 * 24 * 60 * 60_000 };

/**
 * Hands the current attempt over.
 * @throws as `runJob`.
 */
export async function dispatch(
  job: Job,
  settings: Settings,
  signal: AbortSignal,
): Promise<EventOf<'dispatched' | 'dispatch_failed'>> {
  const { POLICY: policy, PUBLIC_URL, SIGNING_KEYS } = settings;
  const { id, attempt, tenant } = job;
  const exp = job.deadlineAt + TOKEN_GRACE_MS;
  const input: RenderTicket = {
    v: 1,
    job_id: id,
    attempt,
    callback_url: `${PUBLIC_URL}/api/jobs/${id}/do`,
    token: signToken(SIGNING_KEYS, 'attempt', { j: id, t: tenant, a: attempt, exp }),
  };
  const token = signToken(SIGNING_KEYS, 'webhook', { j: id, a: attempt, exp });
  const body = {
    input,
    webhook: `${PUBLIC_URL}/api/hooks/runpod/${id}?token=${token}`,
    policy: {
      executionTimeout: clamp(policy.attempt_ms),
      // In its queue a job may wait as long as it lives.
      ttl: clamp(job.deadlineAt - job.updatedAt),
    },
  };
  const remoteId = await runJob(body, settings, signal);
  if (remoteId === null) return { type: 'dispatch_failed', attempt };
  return { type: 'dispatched', attempt, remoteId };
}

/**
 * Asks how a job stands, and why when it waits.
 * @throws when it is worth trying again.
 */
export async function askProvider(
  { remoteId, isWaiting }: { remoteId: string; isWaiting: boolean },
  settings: Settings,
  signal: AbortSignal,
): Promise<EventOf<'provider_says'>> {
  const seen = await jobStatus(remoteId, settings, signal);
  const status = seen ? statusOf(seen) : 'unknown';
  const waiting = isWaiting && status === 'queued' ? await whyWaiting(settings, signal) : null;
  return { type: 'provider_says', remoteId, status, waiting };
}

/** Null also when it cannot be learned: it is told to people, and decides nothing. */
async function whyWaiting(settings: Settings, signal: AbortSignal): Promise<WaitReason | null> {
  try {
    return reasonOf(await workerCounts(settings, signal));
  } catch (error) {
    logError('provider health', { error: String(error) });
    return null;
  }
}

/** An unknown word is no end: what RunPod calls its states has changed before. */
function statusOf({ status, error }: StatusView): ProviderStatus {
  switch (status) {
    case 'IN_QUEUE':
      return 'queued';
    case 'COMPLETED':
    case 'CANCELLED':
      return 'over';
    case 'TIMED_OUT':
      return 'timed_out';
    case 'FAILED':
      // So the platform says it, whatever its documentation says (TIMED_OUT).
      return String(error).includes('executionTimeout') ? 'timed_out' : 'over';
    default:
      return 'working';
  }
}

/** Why a queued job is not taken; null when a worker is there for it. */
function reasonOf({ idle, ready, running, ...others }: WorkerCounts): WaitReason | null {
  const { initializing, throttled, unhealthy } = others;
  if (initializing > 0) return running > 0 ? 'busy' : 'starting';
  if (running > 0) return idle > 0 ? null : 'busy';
  if (idle > 0 || ready > 0) return null;
  if (unhealthy > 0) return 'unhealthy';
  return throttled > 0 ? 'throttled' : 'no_workers';
}

function clamp(ms: number): number {
  return Math.min(LIMITS.max, Math.max(LIMITS.min, Math.round(ms)));
}
