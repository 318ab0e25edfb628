// Responsible for the calls of clients: what RunPod documents, and what its own clients make use of.
// Must not decide anything about jobs: that is queue.ts.
import type { Endpoint } from './endpoint.ts';
import {
  HttpError,
  parseBody,
  readNumber,
  RUN_BYTES,
  SYNC_BYTES,
  type Answer,
  type Call,
  type ClientCall,
  type Route,
} from './http.ts';
import { DAY_MS, isFinal, RunBody, type StatusView } from './job.ts';

/** The bounds of `?wait=`, ms, and what it is where a call has none. */
const WAIT_MS = [1000, 300_000] as const;
const SYNC_WAIT_MS = 90_000;
const STREAM_WAIT_MS = 10_000;

const POST = ['POST'];
/** RunPod's SDKs for JavaScript and Python GET these, its SDK for Go POSTs. */
const BOTH = ['GET', 'POST'];

/** The client's interface to an endpoint. */
export class ClientApi {
  readonly #endpoint: Endpoint;
  readonly routes: Readonly<Record<ClientCall, Route>> = {
    run: { methods: POST, args: 0, run: (call) => this.#run(call) },
    runsync: { methods: POST, args: 0, run: (call) => this.#runSync(call) },
    status: { methods: BOTH, args: 1, run: (call) => this.#status(call) },
    'status-sync': { methods: BOTH, args: 1, run: (call) => this.#statusSync(call) },
    stream: { methods: BOTH, args: 1, run: (call) => this.#stream(call) },
    cancel: { methods: POST, args: 1, run: (call) => this.#cancel(call) },
    retry: { methods: POST, args: 1, run: (call) => this.#retry(call) },
    'purge-queue': { methods: POST, args: 0, run: () => this.#purge() },
    health: { methods: ['GET'], args: 0, run: () => this.#health() },
  };

  constructor(endpoint: Endpoint) {
    this.#endpoint = endpoint;
  }

  async #run({ body }: Call): Promise<Answer> {
    const view = this.#endpoint.queue.submit(
      parseBody(body, RunBody, RUN_BYTES),
      'run',
      Date.now(),
    );
    await this.#endpoint.commit();
    return { status: 200, body: view };
  }

  async #runSync(call: Call): Promise<Answer> {
    const ms = readNumber(call, 'wait', WAIT_MS, SYNC_WAIT_MS);
    const body = parseBody(call.body, RunBody, SYNC_BYTES);
    const { id } = this.#endpoint.queue.submit(body, 'runsync', Date.now());
    await this.#endpoint.commit();
    return await this.#whenFinal(id, ms, call);
  }

  async #status(call: Call): Promise<Answer> {
    const [id = ''] = call.args;
    const ttl = readNumber(call, 'ttl', [0, 7 * DAY_MS], undefined);
    if (ttl !== undefined) {
      this.#endpoint.queue.limit(id, ttl, Date.now());
      await this.#endpoint.commit();
    }
    return this.#show(id);
  }

  async #statusSync(call: Call): Promise<Answer> {
    const [id = ''] = call.args;
    return await this.#whenFinal(id, readNumber(call, 'wait', WAIT_MS, SYNC_WAIT_MS), call);
  }

  async #stream(call: Call): Promise<Answer> {
    const [id = ''] = call.args;
    const ms = readNumber(call, 'wait', WAIT_MS, STREAM_WAIT_MS);
    const { queue, waiting } = this.#endpoint;
    let fetched: ReturnType<typeof queue.drain>;
    await waiting.until(ms, call.left, () => {
      fetched = queue.drain(id);
      const over = !fetched || fetched.stream.length > 0 || isFinal(fetched.status);
      return over ? true : undefined;
    });
    await this.#endpoint.commit();
    return found(fetched);
  }

  async #cancel({ args: [id = ''] }: Call): Promise<Answer> {
    const view = this.#endpoint.queue.cancel(id, Date.now());
    await this.#endpoint.commit();
    return found(view);
  }

  async #retry({ args: [id = ''] }: Call): Promise<Answer> {
    const view = this.#endpoint.queue.retry(id, Date.now());
    if (view === 'unknown') throw new HttpError(404, 'job not found');
    if (view === 'refused') throw new HttpError(400, 'only a job that went wrong can be retried');
    await this.#endpoint.commit();
    return { status: 200, body: view };
  }

  async #purge(): Promise<Answer> {
    const removed = this.#endpoint.queue.purge();
    await this.#endpoint.commit();
    return { status: 200, body: { removed, status: 'completed' } };
  }

  #health(): Answer {
    const { queue, workers } = this.#endpoint;
    const body = { jobs: queue.health(), workers: workers.health(queue.busy(), Date.now()) };
    return { status: 200, body };
  }

  /** Answers once the job is over, and when the wait is, whichever comes first. */
  async #whenFinal(id: string, ms: number, { left }: Call): Promise<Answer> {
    await this.#endpoint.waiting.until(ms, left, () => {
      const view = this.#endpoint.queue.status(id, Date.now());
      return !view || isFinal(view.status) ? true : undefined;
    });
    return this.#show(id);
  }

  #show(id: string): Answer {
    return found(this.#endpoint.queue.status(id, Date.now()));
  }
}

function found(body: StatusView | { readonly stream: unknown[] } | undefined): Answer {
  if (!body) throw new HttpError(404, 'job not found');
  return { status: 200, body };
}
