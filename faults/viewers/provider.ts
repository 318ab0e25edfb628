// Responsible for the provider, as far as these jobs need one: it takes each hand-over and passes the ticket
// on. What it is asked otherwise it answers as one that is content.
import { createServer, type Server } from 'node:http';
import { text } from 'node:stream/consumers';
import { RenderTicket } from '@export-jobs/protocol';
import * as v from 'valibot';

const Run = v.pipe(v.string(), v.parseJson(), v.object({ input: RenderTicket }));

const WORKERS = { idle: 1, initializing: 0, ready: 1, running: 1, throttled: 0, unhealthy: 0 };

export class Provider {
  readonly #server: Server;

  private constructor(onTicket: (ticket: RenderTicket, providerJobId: string) => void) {
    this.#server = createServer((request, response) => {
      void text(request).then((body) => {
        const id = crypto.randomUUID();
        response.setHeader('content-type', 'application/json');
        response.end(JSON.stringify({ id, status: 'IN_PROGRESS', workers: WORKERS }));
        if (request.url?.endsWith('/run')) onTicket(v.parse(Run, body).input, id);
      });
    });
  }

  static async start(
    onTicket: (ticket: RenderTicket, providerJobId: string) => void,
  ): Promise<Provider> {
    const provider = new Provider(onTicket);
    await new Promise<void>((resolve) => provider.#server.listen(0, '127.0.0.1', resolve));
    return provider;
  }

  /** What the Worker is told to call. */
  get variables(): Record<string, string> {
    const address = this.#server.address();
    if (typeof address !== 'object' || !address) throw new Error('the provider does not listen');
    const url = `http://127.0.0.1:${address.port}/v2/scripted`;
    return { RUNPOD_ENDPOINT_URL: url, RUNPOD_API_KEY: 'scripted' };
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }
}
