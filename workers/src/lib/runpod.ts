import * as v from 'valibot';
import { RetryLater } from '../outbox/drain.ts';
import type { Settings } from './env.ts';

// Responsible for RunPod's client API, as far as it is needed here (docs.runpod.io, serverless
// operations). The bodies of its errors are undocumented and never parsed.

const RunReply = v.object({ id: v.pipe(v.string(), v.minLength(1), v.maxLength(200)) });
/** As the platform prints it; `error` and more are there when they apply. */
const StatusView = v.object({ status: v.string(), error: v.optional(v.unknown()) });
export type StatusView = v.InferOutput<typeof StatusView>;

/** What is wrong with the job itself stays wrong. */
const WRONG_BODY = [400, 413, 422];
const REFUSAL_PAUSE_MS = 30_000;

const Count = v.optional(v.number(), 0);
const Health = v.object({
  workers: v.object({
    idle: Count,
    initializing: Count,
    ready: Count,
    running: Count,
    throttled: Count,
    unhealthy: Count,
  }),
});
/** How many workers of the endpoint are in which state. */
export type WorkerCounts = v.InferOutput<typeof Health>['workers'];

/**
 * `POST /run`. Returns the job's id, or null when RunPod refuses for good.
 * @throws RetryLater when it was surely not taken and is worth another try; anything else when it is
 *   not known whether it was taken: there is no idempotency key.
 */
export async function runJob(
  body: object,
  settings: Settings,
  signal: AbortSignal,
): Promise<string | null> {
  const response = await call(settings, 'POST', 'run', signal, body);
  if (response.ok) return v.parse(RunReply, await response.json()).id;
  await response.body?.cancel();
  throwIfBusy(response);
  if (response.status >= 500) throw new Error(`the provider answered ${response.status}`);
  if (WRONG_BODY.includes(response.status)) return null;
  // A key that is being changed, an endpoint that is new: right again some day, and surely not taken.
  throw new RetryLater(`the provider answered ${response.status}`, REFUSAL_PAUSE_MS);
}

/** `POST /cancel`. A job that RunPod no longer knows, or that has ended, counts as cancelled. */
export async function cancelJob(
  remoteId: string,
  settings: Settings,
  signal: AbortSignal,
): Promise<void> {
  const response = await call(
    settings,
    'POST',
    `cancel/${encodeURIComponent(remoteId)}`,
    signal,
    {},
  );
  await response.body?.cancel();
  if (response.ok || response.status === 400 || response.status === 404) return;
  throwIfBusy(response);
  throw new Error(`the provider answered ${response.status}`);
}

/** `GET /status`; null when RunPod does not know the job, or no longer. */
export async function jobStatus(
  remoteId: string,
  settings: Settings,
  signal: AbortSignal,
): Promise<StatusView | null> {
  const response = await call(settings, 'GET', `status/${encodeURIComponent(remoteId)}`, signal);
  if (response.ok) return v.parse(StatusView, await response.json());
  await response.body?.cancel();
  if (response.status === 404) return null;
  throwIfBusy(response);
  throw new Error(`the provider answered ${response.status}`);
}

/** `GET /health`. */
export async function workerCounts(settings: Settings, signal: AbortSignal): Promise<WorkerCounts> {
  const response = await call(settings, 'GET', 'health', signal);
  if (response.ok) return v.parse(Health, await response.json()).workers;
  await response.body?.cancel();
  throwIfBusy(response);
  throw new Error(`the provider answered ${response.status}`);
}

async function call(
  { RUNPOD_ENDPOINT_URL, RUNPOD_API_KEY }: Settings,
  method: 'GET' | 'POST',
  path: string,
  signal: AbortSignal,
  body?: object,
): Promise<Response> {
  return fetch(`${RUNPOD_ENDPOINT_URL}/${path}`, {
    method,
    headers: {
      authorization: `Bearer ${RUNPOD_API_KEY}`,
      ...(body && { 'content-type': 'application/json' }),
    },
    ...(body && { body: JSON.stringify(body) }),
    redirect: 'manual',
    signal,
  });
}

/** A call that was refused for its rate did nothing. */
function throwIfBusy(response: Response): void {
  if (response.status !== 429) return;
  const seconds = Number(response.headers.get('retry-after'));
  const known = Number.isFinite(seconds) && seconds > 0;
  throw new RetryLater('the provider is busy', known ? Math.min(seconds, 300) * 1000 : 10_000);
}
