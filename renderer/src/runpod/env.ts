import { randomUUID } from 'node:crypto';
import * as v from 'valibot';

const Url = v.pipe(v.string(), v.url());
const Env = v.object({
  RUNPOD_WEBHOOK_GET_JOB: Url,
  RUNPOD_WEBHOOK_POST_OUTPUT: Url,
  RUNPOD_WEBHOOK_PING: Url,
  RUNPOD_AI_API_KEY: v.pipe(v.string(), v.minLength(1)),
  RUNPOD_POD_ID: v.optional(v.pipe(v.string(), v.minLength(1))),
  RUNPOD_GPU_TYPE_ID: v.optional(v.string(), ''),
  RUNPOD_PING_INTERVAL: v.optional(
    v.pipe(v.string(), v.regex(/^\d+$/), v.toNumber(), v.minValue(100)),
    '10000',
  ),
});

/** Where a worker calls RunPod, who it is, and how often it says that it lives (ms). */
export interface WorkerEnv {
  readonly workerId: string;
  readonly apiKey: string;
  readonly pingIntervalMs: number;
  takeUrl(busy: boolean): URL;
  stopUrl(): URL;
  doneUrl(jobId: string): URL;
  pingUrl(jobIds: readonly string[]): URL;
}

/**
 * Reads what RunPod gives a worker. The addresses are templates: they are filled in, never built.
 * @throws naming the variable that is missing or wrong.
 */
export function readWorkerEnv(env: Readonly<Record<string, string | undefined>>): WorkerEnv {
  const parsed = v.safeParse(Env, env);
  if (!parsed.success) {
    const names = parsed.issues.map((issue) => v.getDotPath(issue) ?? '?').join(', ');
    throw new Error(`not a RunPod worker's environment: ${names} missing or not valid`);
  }
  const known = parsed.output;
  const workerId = known.RUNPOD_POD_ID ?? randomUUID();
  const fill = (template: string, id: string) =>
    new URL(
      template
        .replaceAll('$RUNPOD_POD_ID', () => encodeURIComponent(workerId))
        .replaceAll('$RUNPOD_GPU_TYPE_ID', () => encodeURIComponent(known.RUNPOD_GPU_TYPE_ID))
        .replaceAll('$ID', () => encodeURIComponent(id)),
    );
  return {
    workerId,
    apiKey: known.RUNPOD_AI_API_KEY,
    pingIntervalMs: known.RUNPOD_PING_INTERVAL,
    takeUrl(busy) {
      const url = fill(known.RUNPOD_WEBHOOK_GET_JOB, workerId);
      url.searchParams.set('job_in_progress', busy ? '1' : '0');
      return url;
    },
    stopUrl() {
      const url = fill(known.RUNPOD_WEBHOOK_GET_JOB, workerId);
      url.pathname = url.pathname.replace('/job-take/', '/job-stop/');
      return url;
    },
    doneUrl(jobId) {
      const url = fill(known.RUNPOD_WEBHOOK_POST_OUTPUT, jobId);
      url.searchParams.set('isStream', 'false');
      return url;
    },
    pingUrl(jobIds) {
      const url = fill(known.RUNPOD_WEBHOOK_PING, workerId);
      if (jobIds.length > 0) url.searchParams.set('job_id', jobIds.join(','));
      return url;
    },
  };
}
