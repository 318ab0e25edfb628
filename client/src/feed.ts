import type { ExportJob, JobStatus } from '@export-jobs/protocol';
import { advance, withReport } from './advance.ts';
import type { ExportClient } from './client.ts';
import { ExportApiError } from './errors.ts';
import { waysOf, type Followed } from './follow.ts';
import { isEnded, isJobReply, isListReply, isReady, isReport } from './guards.ts';
import { bearer, withQuery, type Guard, type Http } from './http.ts';
import { linked, Live, type Link, type Linked } from './live.ts';
import { newestFirst } from './order.ts';
import { pause } from './span.ts';

/** Jobs on one page of the list, and the pages that one reading goes back at most. */
const PAGE = 100;
const PAGES = 10;
/** So many times the wait between two polls of one job is waited between two readings of the list. */
const SLOWER = 3;

/**
 * What is known now, and how. `live`: all is told as it happens. `polling`: the list is read every few
 * seconds, because no socket gets through; progress stands still meanwhile. `closed`: the server refused
 * (`error`). The others are as those of one job.
 */
export type ExportsState = {
  /** Newest first; the same array until one of them changes. */
  jobs: readonly ExportJob[];
} & ((Linked & { error: null }) | { connection: 'closed'; via: null; error: Error; stale: true });

export interface ExportsFilter {
  tag?: string | undefined;
  /** A job that is no longer so leaves. */
  status?: JobStatus | undefined;
}

export interface ExportsOptions extends ExportsFilter {
  /** Stops watching. */
  signal?: AbortSignal | undefined;
  /** What is known already, such as from a list: shown at once and kept up to date. */
  initial?: readonly ExportJob[] | undefined;
  /** How many ended jobs are remembered, the newest; 1,000 unless it says otherwise. */
  keep?: number | undefined;
}

/**
 * Watches all exports of an owner over one socket: those that have not ended, and whatever changes from
 * then on. Nothing is dialled until someone listens or iterates. `getToken` is asked for a token of the
 * `feed`; where no socket gets through, for an owner's.
 */
export function watchExports(client: ExportClient, options: ExportsOptions = {}): ExportsWatch {
  return new ExportsWatch(client.http, options);
}

/**
 * The exports of an owner, watched over one connection by any number of listeners. Dials when the first
 * one comes and hangs up when the last one has gone. `for await` yields the newest state until the signal
 * aborts, and throws what the server refused with.
 */
export class ExportsWatch extends Live<ExportsState> {
  readonly #http: Http;
  readonly #filter: ExportsFilter;
  readonly #keep: number;
  readonly #known = new Map<string, ExportJob>();
  /** Jobs that seem to go on, of which the present connection has not told. */
  readonly #doubtful = new Set<string>();
  /** What to come back with: all that changed before it is known. Epoch ms of the server. */
  #cursor: number | null = null;
  /** Null when it is to be made anew. */
  #jobs: readonly ExportJob[] | null = null;

  constructor(http: Http, { signal, initial = [], keep = 1000, ...filter }: ExportsOptions) {
    super(signal);
    this.#http = http;
    this.#filter = filter;
    this.#keep = keep;
    this.offer(initial);
  }

  /** One job, whatever its status, if it is known. */
  get(id: string): ExportJob | null {
    return this.#known.get(id) ?? null;
  }

  /** Takes jobs that were learnt elsewhere, such as from a list or a cancel. */
  offer(jobs: readonly ExportJob[]): void {
    this.#startFrom(jobs);
    for (const job of jobs) {
      const isNew = !this.#known.has(job.id);
      this.#learn(job);
      if (isNew) this.#doubt(job.id);
    }
    if (this.getSnapshot().connection === 'live') this.#settle();
  }

  protected override followed(): Followed {
    const http = this.#http;
    const { tag } = this.#filter;
    // Without the status: of who leaves that while we are away, we would not be told.
    const path = () => withQuery('/api/feed', { tag, since: this.#cursor ?? undefined });
    return {
      http,
      ways: waysOf(http, ['socket', 'poll']),
      token: () => http.token(null, 'feed'),
      path: () => {
        // It will tell of each that goes on.
        for (const id of this.#known.keys()) this.#doubt(id);
        return path();
      },
      isNew: () => this.#cursor === null,
      take: (message) => this.#take(message),
      poll: async (signal, wait) => {
        if (wait > 0) await pause(http.timing.poll * SLOWER, http.timing, signal);
        for (const id of this.#known.keys()) this.#doubt(id);
        await this.#read(signal);
      },
      look: (signal) => lookAt(http, path(), signal),
    };
  }

  /** Whether all has now been told that there was to tell. */
  #take(message: unknown): boolean {
    if (isReady(message)) {
      this.#cursor = message.cursor;
      this.#settle();
      return true;
    }
    if (isJobReply(message)) {
      this.#doubtful.delete(message.job.id);
      this.#learn(message.job);
    } else if (isReport(message)) {
      const job = withReport(this.get(message.job_id), message);
      if (job) this.#set(job);
    }
    return false;
  }

  #learn(next: ExportJob): void {
    const { tag } = this.#filter;
    if (tag !== undefined && !next.tags.includes(tag)) return;
    const job = this.get(next.id);
    // A job that has ended changes no more, but its link is renewed.
    this.#set(isEnded(job) && isEnded(next) ? next : advance(job, next));
  }

  #set(job: ExportJob): void {
    const before = this.get(job.id);
    if (job === before) return;
    this.#known.set(job.id, job);
    if (isEnded(job)) this.#doubtful.delete(job.id);
    if (!this.#isShown(job) && !(before && this.#isShown(before))) return;
    this.#jobs = null;
    this.changed();
  }

  /** Who learns jobs before a connection told anything comes as who was there when they changed last. */
  #startFrom(jobs: readonly ExportJob[]): void {
    if (jobs.length > 0) this.#cursor ??= Math.max(...jobs.map(({ updated_at }) => updated_at));
  }

  #doubt(id: string): void {
    const job = this.get(id);
    if (job && !isEnded(job)) this.#doubtful.add(id);
  }

  /** Asks for what seems to go on and was not told of: it ended unheard. Else it is asked next time. */
  #settle(): void {
    if (this.#doubtful.size > 0) this.#read().catch(() => undefined);
  }

  /** Reads the list, newest first, back to the oldest job in doubt. */
  async #read(signal?: AbortSignal): Promise<void> {
    const { tag } = this.#filter;
    let cursor: string | null | undefined;
    for (let n = 0; n < PAGES && cursor !== null; n += 1) {
      const path = withQuery('/api/jobs', { tag, limit: PAGE, cursor });
      const { data, next_cursor } = await this.#http.call(path, isListReply, { signal });
      this.#startFrom(data);
      for (const job of data) {
        this.#doubtful.delete(job.id);
        this.#learn(job);
      }
      const doubtful = [...this.#doubtful].flatMap((id) => this.get(id) ?? []);
      const oldest = data.at(-1)?.created_at ?? 0;
      if (doubtful.every(({ created_at }) => created_at > oldest)) return;
      cursor = next_cursor;
    }
  }

  #isShown({ status }: ExportJob): boolean {
    return this.#filter.status === undefined || status === this.#filter.status;
  }

  /** What is shown, newest first. Forgets the oldest of too many ended ones. */
  #newest(): ExportJob[] {
    const jobs = [...this.#known.values()].toSorted(newestFirst);
    for (const { id } of jobs.filter(isEnded).slice(this.#keep)) this.#known.delete(id);
    return jobs.filter((job) => this.#known.has(job.id) && this.#isShown(job));
  }

  protected override view(link: Link, error: Error | null): ExportsState {
    const jobs = (this.#jobs ??= this.#newest());
    if (error) return { jobs, connection: 'closed', via: null, error, stale: true };
    return { jobs, error, ...linked(link) };
  }
}

const nothing: Guard<never> = (_value): _value is never => false;

/** One plain GET where the socket was refused: that an upgrade is missing is all that is wrong with it. */
async function lookAt(http: Http, path: string, signal: AbortSignal): Promise<void> {
  const headers = bearer(await http.token(null, 'feed'));
  const timeout = AbortSignal.timeout(http.timing.request);
  const until = AbortSignal.any([signal, timeout]);
  try {
    await http.send(http.url(path), nothing, signal, { headers, signal: until });
  } catch (error) {
    if (!(error instanceof ExportApiError && error.code === 'upgrade_required')) throw error;
  }
}
