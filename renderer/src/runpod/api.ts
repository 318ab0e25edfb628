// Responsible for the calls that a worker makes to RunPod: addresses, headers, time limits. Must not
// decide what an answer means. Every call throws when there is no answer.
import type { WorkerEnv } from './env.ts';

/** Said in every ping, where the Python worker says its own version. */
export const RUNTIME = 'runpod-worker-ts/0.1.0';

const POLL_LIMIT_MS = 90_000;
const POST_LIMIT_MS = 30_000;
const UNHEALTHY_LIMIT_MS = 2000;
const REASON_CHARS = 256;

export interface Answer {
  readonly status: number;
  readonly text: string;
}

export class Api {
  readonly #env: WorkerEnv;

  constructor(env: WorkerEnv) {
    this.#env = env;
  }

  get canStream(): boolean {
    return this.#env.streamUrl('') !== undefined;
  }

  get canHearStops(): boolean {
    return this.#env.stopUrl() !== undefined;
  }

  /** Waits for jobs, up to 90 s. */
  async take(room: number, busy: boolean, giveUp: AbortSignal): Promise<Answer> {
    return await this.#call(this.#env.takeUrl(room, busy), POLL_LIMIT_MS, { signal: giveUp });
  }

  /** Waits for the ids of jobs to stop, up to 90 s. */
  async stops(giveUp: AbortSignal): Promise<Answer> {
    const url = required(this.#env.stopUrl(), 'RUNPOD_WEBHOOK_GET_JOB has no /job-take/');
    return await this.#call(url, POLL_LIMIT_MS, { signal: giveUp });
  }

  /** Sends a job's result, or its progress when the body says so. */
  async done(jobId: string, body: string, isStream: boolean, giveUp: AbortSignal): Promise<number> {
    return await this.#post(this.#env.doneUrl(jobId, isStream), jobId, body, giveUp);
  }

  async chunk(jobId: string, body: string, giveUp: AbortSignal): Promise<number> {
    const url = required(this.#env.streamUrl(jobId), 'RUNPOD_WEBHOOK_POST_STREAM is not set');
    return await this.#post(url, jobId, body, giveUp);
  }

  /** Says that this worker lives and still has these jobs; waits no longer than one interval. */
  async ping(jobIds: readonly string[], giveUp: AbortSignal): Promise<number> {
    const url = this.#env.pingUrl(jobIds);
    url.searchParams.set('runpod_version', RUNTIME);
    const { status } = await this.#call(url, this.#env.pingIntervalMs, { signal: giveUp });
    return status;
  }

  /** Says why this worker must not be given jobs; waits two seconds at most. */
  async unhealthy(check: string, reason: string): Promise<void> {
    const url = this.#env.pingUrl([]);
    url.searchParams.set('status', 'unhealthy');
    url.searchParams.set('check', check);
    url.searchParams.set('reason', reason.slice(0, REASON_CHARS));
    url.searchParams.set('runpod_version', RUNTIME);
    await this.#call(url, UNHEALTHY_LIMIT_MS, {});
  }

  async #post(url: URL, jobId: string, body: string, signal: AbortSignal): Promise<number> {
    // The body is JSON all the same: these are the headers of the Python worker (rp_http.py).
    const headers = {
      'content-type': 'application/x-www-form-urlencoded',
      charset: 'utf-8',
      'x-request-id': jobId,
    };
    const init = { method: 'POST', headers, body, signal };
    return (await this.#call(url, POST_LIMIT_MS, init)).status;
  }

  async #call(url: URL, limitMs: number, init: RequestInit): Promise<Answer> {
    const headers = new Headers(init.headers);
    headers.set('authorization', this.#env.apiKey);
    const limit = AbortSignal.timeout(limitMs);
    const signal = init.signal ? AbortSignal.any([init.signal, limit]) : limit;
    const response = await fetch(url, { ...init, redirect: 'error', headers, signal });
    // Read to its end even where nobody wants it: else the connection could not be used again.
    return { status: response.status, text: await response.text() };
  }
}

function required(url: URL | undefined, message: string): URL {
  if (!url) throw new Error(message);
  return url;
}
