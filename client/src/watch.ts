import type { EndedJob, ExportJob } from '@export-jobs/protocol';
import { advance, withReport } from './advance.ts';
import { waysOf, type Followed } from './follow.ts';
import { isEnded, isJobReply, isPollReply, isReport } from './guards.ts';
import { pathOf, withQuery, type Http } from './http.ts';
import { linked, Live, type Link, type Linked } from './live.ts';
import { reasonOf } from './timing.ts';

/**
 * What is known now, and how. `idle`: nobody listens. `live`: news come as they happen. `polling`: they
 * are asked for, because nothing better gets through. `reconnecting`: what is shown may be old; `offline`:
 * likewise, since the browser says that there is no network. `closed`: the job has ended, or may not be
 * watched (`error`).
 */
export type WatchState =
  | (Linked & { job: ExportJob | null; error: null })
  | { connection: 'closed'; via: null; job: EndedJob; error: null; stale: false }
  | { connection: 'closed'; via: null; job: ExportJob | null; error: Error; stale: true };

export type Connection = WatchState['connection'];

export interface WatchOptions {
  /** Stops watching. The export itself goes on. */
  signal?: AbortSignal | undefined;
  /** What is known already, to show at once and to resume from. */
  initial?: ExportJob | undefined;
}

/**
 * One job, watched over one connection by any number of listeners. Dials when the first one comes and
 * hangs up when the last one has gone. `for await` yields the newest state and ends with the job.
 */
export class ExportWatch extends Live<WatchState> {
  readonly id: string;
  readonly #http: Http;
  #job: ExportJob | null = null;

  constructor(http: Http, id: string, { signal, initial }: WatchOptions) {
    super(signal);
    this.id = id;
    this.#http = http;
    if (initial) this.offer(initial);
  }

  /** Takes a job that was learnt elsewhere, such as from a list or a cancel. */
  offer(job: ExportJob): void {
    if (job.id === this.id) this.#show(advance(this.#job, job));
  }

  /**
   * Watches until the job ends. A failed export is a result, not an exception.
   * @throws {ExportApiError} when the job cannot be watched; the signal's reason when it aborts.
   */
  async result(): Promise<EndedJob> {
    for await (const state of this) if (isEnded(state.job)) return state.job;
    throw reasonOf(this.signal);
  }

  protected override followed(): Followed {
    const http = this.#http;
    const { id: jobId } = this;
    const take = (message: unknown): boolean => {
      if (isJobReply(message) && message.job.id === jobId) {
        this.#show(advance(this.#job, message.job));
      } else if (isReport(message) && message.job_id === jobId) {
        this.#show(withReport(this.#job, message));
      } else return false;
      return true;
    };
    const at = (tail: string, wait?: number) =>
      withQuery(pathOf(jobId) + tail, this.#job ? { since: this.#job.seq, wait } : {});
    const ask = async (signal: AbortSignal, wait = 0) => {
      const path = at('', wait);
      const { events = [], ...now } = await http.call(path, isPollReply, { jobId, signal });
      for (const message of [...events, now]) take(message);
    };
    return {
      http,
      timing: http.timing,
      ways: waysOf(http),
      token: () => http.token(jobId),
      path: (way) => at(way === 'socket' ? '/ws' : '/stream'),
      isNew: () => !this.#job,
      take,
      poll: ask,
      look: ask,
    };
  }

  #show(job: ExportJob | null): void {
    if (job === this.#job) return;
    this.#job = job;
    if (isEnded(job)) this.end();
    else this.changed();
  }

  protected override view(link: Link, error: Error | null): WatchState {
    const job = this.#job;
    if (error) return { job, connection: 'closed', via: null, error, stale: true };
    if (isEnded(job)) return { job, connection: 'closed', via: null, error, stale: false };
    return { job, error, ...linked(link) };
  }
}
