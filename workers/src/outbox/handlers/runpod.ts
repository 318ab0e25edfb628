import type { RenderTicket } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Job } from '../../job/job.ts';
import type { Settings } from '../../lib/env.ts';
import { signToken } from '../../lib/tokens.ts';
import { RetryLater } from '../drain.ts';

// RunPod's client API, as far as a dispatcher needs it. Bodies of its errors are undocumented and
// never parsed.

const RunReply = v.object({ id: v.pipe(v.string(), v.minLength(1), v.maxLength(200)) });
/** The token outlives the job's last deadline by this, so that a late report is told why it is late. */
const TOKEN_GRACE_MS = 5 * 60_000;
/** RunPod's own bounds of `policy.executionTimeout` and `policy.ttl`, ms. */
const LIMITS = { min: 10_000, max: 7 * 24 * 60 * 60_000 };

/**
 * Hands the current attempt over to the provider. Returns its id there, or null when the provider
 * refuses for good. The call has no idempotency key there: should an answer be lost, the next call
 * makes a twin, and the claim decides which of the two may work.
 * @throws when it is worth trying again.
 */
export async function dispatch(
  job: Job,
  settings: Settings,
  signal: AbortSignal,
): Promise<string | null> {
  const { POLICY: policy, PUBLIC_URL } = settings;
  const input: RenderTicket = {
    v: 1,
    job_id: job.id,
    attempt: job.attempt,
    callback_url: `${PUBLIC_URL}/api/jobs/${job.id}/do`,
    token: signToken(settings.SIGNING_KEYS, 'attempt', {
      j: job.id,
      t: job.tenant,
      a: job.attempt,
      exp: job.deadlineAt + TOKEN_GRACE_MS,
    }),
  };
  const executionTimeout = clamp(policy.attempt_ms);
  const ttl = clamp(policy.start_ms + policy.attempt_ms);
  const body = { input, policy: { executionTimeout, ttl } };
  const response = await call(settings, 'run', body, signal);
  if (response.ok) return v.parse(RunReply, await response.json()).id;
  await response.body?.cancel();
  if (response.status === 429) throw new RetryLater('the provider is busy', retryAfter(response));
  if (response.status >= 500) throw new Error(`the provider answered ${response.status}`);
  return null;
}

/** Tells the provider to stop a job. One that it no longer knows counts as stopped. */
export async function stopRemote(
  remoteId: string,
  settings: Settings,
  signal: AbortSignal,
): Promise<void> {
  const response = await call(settings, `cancel/${encodeURIComponent(remoteId)}`, {}, signal);
  await response.body?.cancel();
  if (response.ok || response.status === 400 || response.status === 404) return;
  if (response.status === 429) throw new RetryLater('the provider is busy', retryAfter(response));
  throw new Error(`the provider answered ${response.status}`);
}

async function call(
  settings: Settings,
  path: string,
  body: object,
  signal: AbortSignal,
): Promise<Response> {
  return fetch(`${settings.RUNPOD_ENDPOINT_URL}/${path}`, {
    method: 'POST',
    headers: {
      authorization: `Bearer ${settings.RUNPOD_API_KEY}`,
      'content-type': 'application/json',
    },
    body: JSON.stringify(body),
    redirect: 'manual',
    signal,
  });
}

function retryAfter(response: Response): number {
  const seconds = Number(response.headers.get('retry-after'));
  return Number.isFinite(seconds) && seconds > 0 ? Math.min(seconds, 300) * 1000 : 10_000;
}

function clamp(ms: number): number {
  return Math.min(LIMITS.max, Math.max(LIMITS.min, Math.round(ms)));
}
