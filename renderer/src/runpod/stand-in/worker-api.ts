// Responsible for the calls of workers, as RunPod's own worker makes them (runpod-python, rp_job.py,
// rp_http.py, rp_ping.py); RunPod has no page about them. Must not decide anything about jobs.
import type { Endpoint } from './endpoint.ts';
import {
  HttpError,
  parseBody,
  readNumber,
  RUN_BYTES,
  SYNC_BYTES,
  type Answer,
  type Call,
  type Route,
  type WorkerCall,
} from './http.ts';
import { DoneBody, StreamBody } from './job.ts';
import { SYNC, type TakenJob } from './queue.ts';

/** What RunPod takes in one piece of a stream. */
const CHUNK_BYTES = 1024 * 1024;
const MAX_BATCH = 1000;

const GET = ['GET'];
const POST = ['POST'];

/** The worker's interface to an endpoint. */
export class WorkerApi {
  readonly #endpoint: Endpoint;
  readonly #holdMs: number;
  readonly routes: Readonly<Record<WorkerCall, Route>> = {
    'job-take': { methods: GET, args: 1, run: (call) => this.#take(call) },
    'job-take-batch': { methods: GET, args: 1, run: (call) => this.#takeBatch(call) },
    'job-stop': { methods: GET, args: 1, run: (call) => this.#stop(call) },
    'job-done': { methods: POST, args: 2, run: (call) => this.#done(call) },
    'job-stream': { methods: POST, args: 2, run: (call) => this.#stream(call) },
    ping: { methods: GET, args: 1, run: (call) => this.#ping(call) },
  };

  /** @param holdMs how long a call that finds nothing is held open. */
  constructor(endpoint: Endpoint, holdMs: number) {
    this.#endpoint = endpoint;
    this.#holdMs = holdMs;
  }

  async #take(call: Call): Promise<Answer> {
    const [job] = await this.#handOut(call, 1);
    return job ? { status: 200, body: job } : { status: 204 };
  }

  async #takeBatch(call: Call): Promise<Answer> {
    const jobs = await this.#handOut(call, readNumber(call, 'batch_size', [1, MAX_BATCH], 1));
    return jobs.length > 0 ? { status: 200, body: jobs } : { status: 204 };
  }

  async #handOut({ args: [workerId = ''], left }: Call, most: number): Promise<TakenJob[]> {
    const { queue, workers, waiting } = this.#endpoint;
    workers.asked(workerId, Date.now());
    const jobs: TakenJob[] = [];
    await waiting.until(this.#holdMs, left, () => {
      for (let job; jobs.length < most && (job = queue.take(workerId, Date.now()));) jobs.push(job);
      return jobs.length > 0 ? true : undefined;
    });
    if (jobs.length === 0) return [];
    await this.#endpoint.commit();
    if (!left.aborted) return jobs;
    for (const { id } of jobs) queue.untake(id);
    await this.#endpoint.commit();
    return [];
  }

  async #stop({ args: [workerId = ''], left }: Call): Promise<Answer> {
    const ids = await this.#endpoint.waiting.until(this.#holdMs, left, () => {
      const stops = this.#endpoint.queue.takeStops(workerId);
      return stops.length > 0 ? stops : undefined;
    });
    return ids ? { status: 200, body: { jobsToStop: ids } } : { status: 204 };
  }

  async #done({ args: [workerId = '', id = ''], body }: Call): Promise<Answer> {
    const done = parseBody(body, DoneBody, id.startsWith(SYNC) ? SYNC_BYTES : RUN_BYTES);
    const now = Date.now();
    if (!this.#endpoint.queue.done(workerId, id, done, now)) throw notHeld();
    if (done.stopPod) this.#endpoint.workers.left(workerId, now);
    await this.#endpoint.commit();
    return { status: 200, body: {} };
  }

  async #stream({ args: [workerId = '', id = ''], body }: Call): Promise<Answer> {
    const chunk = parseBody(body, StreamBody, CHUNK_BYTES);
    if (!this.#endpoint.queue.stream(workerId, id, chunk)) throw notHeld();
    await this.#endpoint.commit();
    return { status: 200, body: {} };
  }

  #ping({ query, args: [workerId = ''] }: Call): Answer {
    const now = Date.now();
    this.#endpoint.workers.pinged(workerId, query.get('status') !== 'unhealthy', now);
    this.#endpoint.queue.ping(workerId, query.get('job_id')?.split(',') ?? [], now);
    return { status: 200, body: {} };
  }
}

function notHeld(): HttpError {
  return new HttpError(400, 'this worker does not hold this job');
}
