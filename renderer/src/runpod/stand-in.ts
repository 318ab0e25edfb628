// Responsible for speaking RunPod's two HTTP interfaces, for clients and for workers, on a laptop.
// Must not decide anything about jobs: that is queue.ts.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createHash, timingSafeEqual } from 'node:crypto';
import * as v from 'valibot';
import { DoneBody, Queue, RunBody, type StatusView } from './queue.ts';
import { pause } from './pause.ts';
import { QueueFile } from './queue-file.ts';

const MAX_BODY_BYTES = 10 * 1024 * 1024;

export interface StandInOptions {
  /** 0 lets the system choose a free one. */
  readonly port: number;
  /** The one key: clients send it as a bearer token, workers as it is. */
  readonly apiKey: string;
  /** Default 127.0.0.1. */
  readonly host?: string;
  /** Default `local`. */
  readonly endpointId?: string;
  /** How long a silent worker keeps its job, ms. Default 40,000. */
  readonly leaseMs?: number;
  /** Where the queue survives a restart; without it the queue lives in memory only. */
  readonly stateFile?: string;
  /** How long an empty `job-take` or `job-stop` is held open, ms. Default 20,000. */
  readonly holdMs?: number;
  /** Pause between the tries of a webhook, ms. Default 10,000. */
  readonly webhookRetryMs?: number;
}

export interface StandIn {
  readonly url: string;
  readonly port: number;
  /** The environment that makes a process a worker of this queue. */
  workerEnv(workerId: string): Record<string, string>;
  /** Stops serving; open polls are answered, and what is queued is on disk. */
  close(): Promise<void>;
}

/** A refusal to be sent as it is. */
class HttpError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/**
 * Starts RunPod's queue for one endpoint on this machine.
 * @throws when the port is taken or the state file cannot be read.
 */
export async function startStandIn(options: StandInOptions): Promise<StandIn> {
  const { host = '127.0.0.1', endpointId = 'local', leaseMs = 40_000 } = options;
  const file = new QueueFile(options.stateFile);
  const closing = new AbortController();
  const onEnd = (view: StatusView, webhook: string | undefined) => {
    if (webhook !== undefined) {
      void sendWebhook(webhook, view, options.webhookRetryMs ?? 10_000, closing.signal);
    }
  };
  const queue = new Queue(leaseMs, await file.load(), Date.now(), onEnd);
  const api = new Api(queue, () => file.save(queue.state()), options, closing.signal);
  const server = createServer((request, response) => void api.serve(request, response));
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(options.port, host, resolve);
  });
  const address = server.address();
  const port = typeof address === 'object' && address ? address.port : options.port;
  const url = `http://${host}:${port}`;
  const ticker = setInterval(() => void api.tick(), Math.min(250, leaseMs / 4));
  return {
    url,
    port,
    workerEnv: (workerId) => workerEnv(`${url}/v2/${endpointId}`, options.apiKey, workerId),
    async close() {
      clearInterval(ticker);
      closing.abort();
      await new Promise((resolve) => {
        server.close(resolve);
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), 200).unref();
      });
      await file.save(queue.state());
    },
  };
}

function workerEnv(base: string, apiKey: string, workerId: string): Record<string, string> {
  return {
    RUNPOD_WEBHOOK_GET_JOB: `${base}/job-take/$ID?gpu=local`,
    RUNPOD_WEBHOOK_POST_OUTPUT: `${base}/job-done/$RUNPOD_POD_ID/$ID?gpu=local`,
    RUNPOD_WEBHOOK_PING: `${base}/ping/$RUNPOD_POD_ID?gpu=local`,
    RUNPOD_AI_API_KEY: apiKey,
    RUNPOD_POD_ID: workerId,
    RUNPOD_ENDPOINT_ID: base.slice(base.lastIndexOf('/') + 1),
    RUNPOD_PING_INTERVAL: '10000',
  };
}

interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly query: URLSearchParams;
  readonly args: readonly string[];
}
type Answer = { readonly status: number; readonly body?: unknown };
interface Route {
  readonly methods: readonly string[];
  readonly auth: 'client' | 'worker';
  readonly args: number;
  readonly run: (call: Call) => Promise<Answer> | Answer;
}

class Api {
  readonly #queue: Queue;
  readonly #save: () => Promise<void>;
  readonly #options: StandInOptions;
  readonly #closing: AbortSignal;
  readonly #waiters = new Set<() => void>();
  /** When each worker was last heard of, for `/health`. */
  readonly #seen = new Map<string, number>();
  readonly #routes: ReadonlyMap<string, Route>;

  constructor(
    queue: Queue,
    save: () => Promise<void>,
    options: StandInOptions,
    closing: AbortSignal,
  ) {
    this.#queue = queue;
    this.#save = save;
    this.#options = options;
    this.#closing = closing;
    closing.addEventListener('abort', () => this.#wake());
    const get = ['GET'];
    const post = ['POST'];
    const both = ['GET', 'POST'];
    this.#routes = new Map<string, Route>([
      ['run', { methods: post, auth: 'client', args: 0, run: (c) => this.#run(c) }],
      ['status', { methods: both, auth: 'client', args: 1, run: (c) => this.#status(c) }],
      ['cancel', { methods: post, auth: 'client', args: 1, run: (c) => this.#cancel(c) }],
      ['health', { methods: get, auth: 'client', args: 0, run: () => this.#health() }],
      ['job-take', { methods: get, auth: 'worker', args: 1, run: (c) => this.#take(c) }],
      ['job-stop', { methods: get, auth: 'worker', args: 1, run: (c) => this.#stop(c) }],
      ['job-done', { methods: post, auth: 'worker', args: 2, run: (c) => this.#done(c) }],
      ['ping', { methods: get, auth: 'worker', args: 1, run: (c) => this.#ping(c) }],
    ]);
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.#route(request, response);
    } catch (error) {
      if (!(error instanceof HttpError))
        process.stderr.write(`runpod stand-in: ${String(error)}\n`);
      answer =
        error instanceof HttpError
          ? { status: error.status, body: { error: error.message } }
          : { status: 500, body: { error: 'internal error' } };
    }
    const text = answer.body === undefined ? '' : JSON.stringify(answer.body);
    response.writeHead(answer.status, { 'content-type': 'application/json' }).end(text);
  }

  /** Lets time pass: leases, deadlines, retention. */
  async tick(): Promise<void> {
    if (!this.#queue.tick(Date.now())) return;
    await this.#save();
    this.#wake();
  }

  async #route(request: IncomingMessage, response: ServerResponse): Promise<Answer> {
    const url = new URL(request.url ?? '/', 'http://stand-in');
    const [, version, endpoint, name = '', ...args] = url.pathname.split('/').map(decode);
    if (version !== 'v2' || endpoint !== (this.#options.endpointId ?? 'local')) {
      throw new HttpError(404, 'endpoint not found');
    }
    const route = this.#routes.get(name);
    if (!route || route.args !== args.length) throw new HttpError(404, 'not found');
    this.#admit(request, route);
    return await route.run({ request, response, query: url.searchParams, args });
  }

  #admit({ method = '', headers }: IncomingMessage, route: Route): void {
    if (!route.methods.includes(method)) throw new HttpError(405, 'wrong method');
    const expected = `${route.auth === 'client' ? 'Bearer ' : ''}${this.#options.apiKey}`;
    if (!sameText(headers.authorization ?? '', expected)) throw new HttpError(401, 'unauthorized');
  }

  async #run({ request }: Call): Promise<Answer> {
    const body = await readBody(request, RunBody);
    const reply = this.#queue.submit(body, Date.now());
    await this.#save();
    this.#wake();
    return { status: 200, body: reply };
  }

  #status({ args: [id = ''] }: Call): Answer {
    return found(this.#queue.status(id, Date.now()));
  }

  async #cancel({ args: [id = ''] }: Call): Promise<Answer> {
    const view = this.#queue.cancel(id, Date.now());
    await this.#save();
    this.#wake();
    return found(view);
  }

  #health(): Answer {
    const jobs = this.#queue.health();
    const since = Date.now() - 60_000;
    const known = [...this.#seen.values()].filter((at) => at > since).length;
    const running = Math.min(jobs.inProgress, known);
    const workers = { idle: known - running, initializing: 0, ready: known, running };
    return { status: 200, body: { jobs, workers: { ...workers, throttled: 0, unhealthy: 0 } } };
  }

  async #take({ response, args: [workerId = ''] }: Call): Promise<Answer> {
    this.#seen.set(workerId, Date.now());
    const job = await this.#hold(response, () => this.#queue.take(workerId, Date.now()));
    if (!job) return { status: 204 };
    await this.#save();
    if (response.destroyed && typeof job['id'] === 'string') {
      this.#queue.untake(job['id'], Date.now());
      this.#wake();
    }
    return { status: 200, body: job };
  }

  async #stop({ response, args: [workerId = ''] }: Call): Promise<Answer> {
    const ids = await this.#hold(response, () => {
      const stops = this.#queue.takeStops(workerId);
      return stops.length > 0 ? stops : undefined;
    });
    return ids ? { status: 200, body: { jobsToStop: ids } } : { status: 204 };
  }

  async #done({ request, args: [workerId = '', id = ''] }: Call): Promise<Answer> {
    const body = await readBody(request, DoneBody);
    if (!this.#queue.done(workerId, id, body, Date.now())) {
      throw new HttpError(400, 'this worker does not hold this job');
    }
    await this.#save();
    return { status: 200, body: {} };
  }

  #ping({ query, args: [workerId = ''] }: Call): Answer {
    this.#seen.set(workerId, Date.now());
    this.#queue.ping(workerId, query.get('job_id')?.split(',') ?? [], Date.now());
    return { status: 200, body: {} };
  }

  /** Asks again at every change until there is an answer, the hold is over, or the caller left. */
  async #hold<T>(response: ServerResponse, ask: () => T | undefined): Promise<T | undefined> {
    const until = Date.now() + (this.#options.holdMs ?? 20_000);
    while (!response.destroyed && !this.#closing.aborted) {
      const answer = ask();
      const left = until - Date.now();
      if (answer !== undefined || left <= 0) return answer;
      await new Promise<void>((resolve) => {
        const go = () => {
          clearTimeout(timer);
          this.#waiters.delete(go);
          response.off('close', go);
          resolve();
        };
        const timer = setTimeout(go, left);
        this.#waiters.add(go);
        response.once('close', go);
      });
    }
    return undefined;
  }

  #wake(): void {
    for (const waiter of this.#waiters) waiter();
  }
}

function found(view: StatusView | undefined): Answer {
  if (!view) throw new HttpError(404, 'job not found');
  return { status: 200, body: view };
}

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new HttpError(404, 'not found');
  }
}

function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

async function readBody<S extends v.GenericSchema>(
  request: IncomingMessage,
  schema: S,
): Promise<v.InferOutput<S>> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Buffer)) continue;
    size += chunk.length;
    if (size > MAX_BODY_BYTES) throw new HttpError(400, 'the body is larger than 10 MB');
    chunks.push(chunk);
  }
  let json: unknown;
  try {
    json = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new HttpError(400, 'the body is not valid JSON');
  }
  const parsed = v.safeParse(schema, json);
  if (parsed.success) return parsed.output;
  const issue = parsed.issues[0];
  throw new HttpError(400, `${v.getDotPath(issue) ?? 'body'}: ${issue.message}`);
}

/** A webhook counts as heard only when it answers 200; else two more tries. */
async function sendWebhook(
  url: string,
  view: StatusView,
  pauseMs: number,
  closing: AbortSignal,
): Promise<void> {
  for (let attempt = 0; attempt < 3 && !closing.aborted; attempt += 1) {
    if (attempt > 0) await pause(pauseMs, closing);
    try {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify(view),
        signal: AbortSignal.any([closing, AbortSignal.timeout(10_000)]),
      });
      await response.body?.cancel();
      if (response.status === 200) return;
    } catch (error) {
      if (!closing.aborted) process.stderr.write(`runpod stand-in: webhook: ${String(error)}\n`);
    }
  }
}
