// A job as the server tells of it: one log, one cursor, and the ways to watch that a test leaves open.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ExportJob } from '@export-jobs/protocol';
import { message } from './jobs.ts';
import { json, problem, type Handlers } from './viewer-server.ts';

interface Ways {
  socket: boolean;
  stream: boolean;
  poll: boolean;
}

/** Someone who is connected. */
interface Watcher {
  hear(job: ExportJob): void;
  cut(): void;
}

export class JobLog {
  /** Which ways get through; may change at any time. */
  readonly ways: Ways;
  /** Every address that was asked, in order. */
  readonly asked: string[] = [];
  /** The credentials of each call that is no socket. */
  readonly credentials = new Set<string | undefined>();
  readonly #log: ExportJob[] = [];
  readonly #watchers = new Set<Watcher>();

  constructor(ways: Partial<Ways> = {}) {
    this.ways = { socket: true, stream: true, poll: true, ...ways };
  }

  /** The job changes, and whoever is connected hears it. */
  say(job: ExportJob): void {
    this.#log.push(job);
    for (const watcher of this.#watchers) watcher.hear(job);
  }

  /** Cuts every connection without a word. */
  cut(): void {
    for (const watcher of this.#watchers) watcher.cut();
  }

  /** Says nothing more on the connections of now, which stay open: as after a sleep or a change of network. */
  forget(): void {
    this.#watchers.clear();
  }

  get watchers(): number {
    return this.#watchers.size;
  }

  /** For a viewer server. */
  readonly handlers: Handlers = {
    refuse: () => (this.ways.socket ? null : 502),
    socket: (socket) => {
      this.asked.push(socket.url);
      const watcher = {
        hear: (job: ExportJob) => socket.send(message(job)),
        cut: () => socket.cut(),
      };
      void this.#join(watcher, socket.url, socket.closed);
    },
    stream: (stream) => {
      this.asked.push(stream.url);
      this.credentials.add(stream.authorization);
      if (!this.ways.stream) return stream.cut();
      stream.write('retry: 1000\n\n');
      const watcher = {
        hear: (job: ExportJob) => stream.send(message(job)),
        cut: () => stream.cut(),
      };
      void this.#join(watcher, stream.url, stream.closed);
    },
    http: (request, _body, response) => {
      this.asked.push(request.url ?? '');
      this.credentials.add(request.headers.authorization);
      if (this.ways.poll) this.#answer(request, response);
      else json(response, 503, problem('database_unavailable', 503, true));
    },
  };

  /** At once what was missed, then the present state, then what comes. */
  async #join(watcher: Watcher, url: string, closed: Promise<unknown>): Promise<void> {
    for (const job of this.#after(url)) watcher.hear(job);
    const now = this.#log.at(-1);
    if (now) watcher.hear(now);
    this.#watchers.add(watcher);
    await closed;
    this.#watchers.delete(watcher);
  }

  /** A poll waits for the next news; a plain GET does not. */
  #answer(request: IncomingMessage, response: ServerResponse): void {
    const url = request.url ?? '';
    const reply = () => {
      this.#watchers.delete(watcher);
      json(response, 200, { job: this.#log.at(-1), events: this.#after(url).map(message) });
    };
    const watcher = { hear: reply, cut: () => request.socket.destroy() };
    const waits = Number(new URL(url, 'http://here').searchParams.get('wait')) > 0;
    if (!waits || this.#after(url).length > 0) return reply();
    this.#watchers.add(watcher);
    response.on('close', () => this.#watchers.delete(watcher));
  }

  #after(url: string): ExportJob[] {
    const since = new URL(url, 'http://here').searchParams.get('since');
    return this.#log.filter(({ seq }) => since !== null && seq > Number(since));
  }
}
