// Responsible for the provider, as far as a job needs one to be claimed: it takes each job at once, and
// hands its ticket to whoever waits for it.
import { createServer } from 'node:http';
import { text } from 'node:stream/consumers';
import type { AddressInfo } from 'node:net';
import * as v from 'valibot';

const Run = v.object({ input: v.looseObject({ job_id: v.string() }) });
type Input = v.InferOutput<typeof Run>['input'];

const PATIENCE_MS = 10_000;

export class Provider {
  readonly #tickets = new Map<string, PromiseWithResolvers<Input>>();
  readonly #server = createServer((request, response) => {
    const answer = request.method === 'POST' ? text(request) : Promise.resolve('');
    void answer.then((body) => {
      if (request.url?.endsWith('/run')) this.#take(body);
      response.setHeader('content-type', 'application/json');
      response.end(JSON.stringify({ id: crypto.randomUUID(), status: 'IN_PROGRESS' }));
    });
  });
  #port = 0;

  async start(): Promise<void> {
    await new Promise<void>((resolve) => this.#server.listen(0, '127.0.0.1', resolve));
    const address: AddressInfo | string | null = this.#server.address();
    if (typeof address === 'object' && address) this.#port = address.port;
  }

  /** What the Worker is told to call. */
  get variables() {
    const url = `http://127.0.0.1:${this.#port}/v2/bench`;
    return { RUNPOD_ENDPOINT_URL: url, RUNPOD_API_KEY: 'bench' };
  }

  /** What was handed over for a job, once it is. */
  async ticketOf(jobId: string): Promise<Input> {
    const timer = setTimeout(() => {
      this.#slot(jobId).reject(new Error(`job ${jobId} was not handed over`));
    }, PATIENCE_MS);
    const ticket = await this.#slot(jobId).promise.finally(() => clearTimeout(timer));
    this.#tickets.delete(jobId);
    return ticket;
  }

  close(): void {
    this.#server.close();
    this.#server.closeAllConnections();
  }

  #take(body: string): void {
    const { input } = v.parse(Run, JSON.parse(body));
    this.#slot(input.job_id).resolve(input);
  }

  #slot(jobId: string): PromiseWithResolvers<Input> {
    const slot = this.#tickets.get(jobId) ?? Promise.withResolvers<Input>();
    this.#tickets.set(jobId, slot);
    return slot;
  }
}
