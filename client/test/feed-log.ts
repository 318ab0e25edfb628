// All jobs of an owner as the server tells of them: what the feed says, what the list says, and which of the
// two a test lets through.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { ExportJob } from '@export-jobs/protocol';
import { isEnded } from '../src/guards.ts';
import { newestFirst } from '../src/order.ts';
import { message, reportOf } from './jobs.ts';
import { json, problem, type Handlers, type ViewerSocket } from './viewer-server.ts';

export class FeedLog {
  /** Which ways get through; may change at any time. */
  readonly ways = { socket: true, list: true };
  /** Every address that was asked, in order. */
  readonly asked: string[] = [];
  /** Epoch ms. All that happens takes a millisecond from then on. */
  readonly start = Date.now();
  readonly #jobs = new Map<string, ExportJob>();
  readonly #viewers = new Set<ViewerSocket>();
  #now = this.start;

  /** A job changes, and whoever is connected hears it. Its row is as old as its `updated_at`. */
  say(job: ExportJob): ExportJob {
    const said = this.note(job);
    this.tell(message(said));
    return said;
  }

  /** The same, unheard. */
  note(job: ExportJob): ExportJob {
    const said = { ...job, updated_at: (this.#now += 1) };
    this.#jobs.set(job.id, said);
    return said;
  }

  /** A renderer reports. */
  report(job: ExportJob): void {
    this.tell(reportOf(job));
  }

  /** Tells all who are connected anything at all. */
  tell(said: unknown): void {
    for (const viewer of this.#viewers) viewer.send(said);
  }

  /** Says how far all is told. @returns the cursor. */
  ready(): number {
    const cursor = (this.#now += 1);
    this.tell({ type: 'ready', cursor });
    return cursor;
  }

  /** Cuts every connection without a word. */
  cut(): void {
    for (const viewer of this.#viewers) viewer.cut();
  }

  /** The pages of the list that were asked for. */
  get lists(): string[] {
    return this.asked.filter((url) => url.startsWith('/api/jobs'));
  }

  get viewers(): number {
    return this.#viewers.size;
  }

  /** For a viewer server. */
  readonly handlers: Handlers = {
    refuse: () => (this.ways.socket ? null : 502),
    socket: (socket) => {
      this.asked.push(socket.url);
      const { searchParams } = new URL(socket.url, 'http://here');
      const since = searchParams.get('since');
      for (const job of this.#tagged(searchParams)) {
        const isNews = since !== null && job.updated_at >= Number(since);
        if (!isEnded(job) || isNews) socket.send(message(job));
      }
      socket.send({ type: 'ready', cursor: (this.#now += 1) });
      this.#viewers.add(socket);
      void socket.closed.then(() => this.#viewers.delete(socket));
    },
    http: (request, _body, response) => {
      this.asked.push(request.url ?? '');
      if (request.url?.startsWith('/api/feed')) {
        return json(response, 426, problem('upgrade_required', 426));
      }
      if (this.ways.list) this.#list(request, response);
      else json(response, 503, problem('database_unavailable', 503, true));
    },
  };

  #list(request: IncomingMessage, response: ServerResponse): void {
    const { searchParams } = new URL(request.url ?? '', 'http://here');
    const from = Number(searchParams.get('cursor') ?? 0);
    const to = from + Number(searchParams.get('limit') ?? 20);
    const jobs = this.#tagged(searchParams);
    json(response, 200, {
      data: jobs.slice(from, to),
      next_cursor: to < jobs.length ? String(to) : null,
    });
  }

  #tagged(query: URLSearchParams): ExportJob[] {
    const tag = query.get('tag');
    const jobs = [...this.#jobs.values()].filter(({ tags }) => tag === null || tags.includes(tag));
    return jobs.toSorted(newestFirst);
  }
}
