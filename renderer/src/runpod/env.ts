import { randomUUID } from 'node:crypto';
import * as v from 'valibot';

const Url = v.pipe(v.string(), v.url());
const Env = v.object({
  RUNPOD_WEBHOOK_GET_JOB: Url,
  RUNPOD_WEBHOOK_POST_OUTPUT: Url,
  RUNPOD_WEBHOOK_POST_STREAM: v.optional(Url),
  RUNPOD_WEBHOOK_PING: Url,
  RUNPOD_AI_API_KEY: v.pipe(v.string(), v.minLength(1)),
  RUNPOD_POD_ID: v.optional(v.pipe(v.string(), v.minLength(1))),
  RUNPOD_GPU_TYPE_ID: v.optional(v.string(), ''),
  RUNPOD_PING_INTERVAL: v.optional(
    v.pipe(v.string(), v.regex(/^\d+$/), v.toNumber(), v.minValue(100)),
    '10000',
  ),
});

interface Addresses {
  /** @param room how many jobs are wanted; more than one is asked for as a batch. */
  takeUrl(room: number, busy: boolean): URL;
  /** Undefined when it cannot be derived from where jobs are taken. */
  stopUrl(): URL | undefined;
  doneUrl(jobId: string, isStream: boolean): URL;
  /** Undefined when this worker was given no place for streams. */
  streamUrl(jobId: string): URL | undefined;
  pingUrl(jobIds: readonly string[]): URL;
}

/** Who a worker is, how often it says that it lives (ms), and where it calls RunPod. */
export interface WorkerEnv extends Addresses {
  readonly workerId: string;
  /** RunPod's name of the GPU that the worker runs on; undefined where it names none. */
  readonly gpuType: string | undefined;
  readonly apiKey: string;
  readonly pingIntervalMs: number;
}

/**
 * Reads what RunPod gives a worker. The addresses are templates: they are filled in, never built.
 * The names and the query keys are those of runpod-python 1.12.0.
 * @throws naming the variable that is missing or wrong.
 */
export function readWorkerEnv(env: Readonly<Record<string, string | undefined>>): WorkerEnv {
  const parsed = v.safeParse(Env, env);
  if (!parsed.success) {
    const names = parsed.issues.map((issue) => v.getDotPath(issue) ?? '?').join(', ');
    throw new Error(
      `not a RunPod worker's environment: ${names} missing or not valid. ` +
        'To try a handler without RunPod, call runOnce, or start the stand-in.',
    );
  }
  const known = parsed.output;
  const workerId = known.RUNPOD_POD_ID ?? randomUUID();
  return {
    workerId,
    gpuType: known.RUNPOD_GPU_TYPE_ID || undefined,
    apiKey: known.RUNPOD_AI_API_KEY,
    pingIntervalMs: known.RUNPOD_PING_INTERVAL,
    ...addressesOf(known, workerId),
  };
}

function addressesOf(known: v.InferOutput<typeof Env>, workerId: string): Addresses {
  const fill = (template: string, id: string, query: Readonly<Record<string, string>> = {}) => {
    const url = new URL(
      template
        .replaceAll('$RUNPOD_POD_ID', () => encodeURIComponent(workerId))
        .replaceAll('$RUNPOD_GPU_TYPE_ID', () => encodeURIComponent(known.RUNPOD_GPU_TYPE_ID))
        .replaceAll('$ID', () => encodeURIComponent(id)),
    );
    for (const [key, value] of Object.entries(query)) url.searchParams.set(key, value);
    return url;
  };
  const besideTake = (name: string, query: Readonly<Record<string, string>> = {}) => {
    const url = fill(known.RUNPOD_WEBHOOK_GET_JOB, workerId, query);
    if (!url.pathname.includes('/job-take/')) return undefined;
    url.pathname = url.pathname.replace('/job-take/', `/${name}/`);
    return url;
  };
  return {
    takeUrl(room, busy) {
      const query = { job_in_progress: busy ? '1' : '0' };
      const batch = { batch_size: String(room), ...query };
      const batchUrl = room > 1 ? besideTake('job-take-batch', batch) : undefined;
      return batchUrl ?? fill(known.RUNPOD_WEBHOOK_GET_JOB, workerId, query);
    },
    stopUrl: () => besideTake('job-stop'),
    doneUrl: (jobId, isStream) =>
      fill(known.RUNPOD_WEBHOOK_POST_OUTPUT, jobId, { isStream: String(isStream) }),
    streamUrl(jobId) {
      const template = known.RUNPOD_WEBHOOK_POST_STREAM;
      return template === undefined ? undefined : fill(template, jobId, { isStream: 'false' });
    },
    pingUrl(jobIds) {
      const query = jobIds.length > 0 ? { job_id: jobIds.join(',') } : {};
      return fill(known.RUNPOD_WEBHOOK_PING, workerId, query);
    },
  };
}
