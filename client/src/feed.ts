import type { ExportJob, JobStatus } from '@export-jobs/protocol';
import { advance, withReport, type Report } from './advance.ts';
import { HTTP, type ExportClient } from './client.ts';
import { ExportApiError } from './errors.ts';
import { waysOf, type Followed } from './follow.ts';
import { isBatch, isDeletion, isEnded, isJobReply, isReady, isReport } from './guards.ts';
import { withQuery, type Guard, type Http } from './http.ts';
import { linked, Live, type Link, type Linked } from './live.ts';
import { newestFirst } from './order.ts';
import { pause } from './span.ts';

/** So many pages of the list one reading goes back at most. */
const PAGES = 10;
/** Where the list is all there is, one reading of so many goes back further than a page. */
const DEEP = 10;
/** What changed longer ago is not asked for by the cursor, ms: a list tells it as well. */
const OLD_MS = 24 * 3600_000;
/** The feed's first word may take so many times as long as that of a job. */
const PATIENCE = 4;
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
  /** The ids of those that were deleted meanwhile. */
  deleted: ReadonlySet<string>;
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
  return new ExportsWatch(client[HTTP], options);
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
  #deleted: ReadonlySet<string> = new Set();
  /** What to come back with: all that changed before it is known. Epoch ms of the server. */
  #cursor: number | null = null;
  /** When the list was last asked for what is in doubt. */
  #settledAt = -Infinity;
  /** In the middle of many messages nobody is told of each. */
  #isHeld = false;
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
    const cursor = this.#cursor ?? Infinity;
    // Whatever happens to a job after the cursor is told; to others it may have happened before.
    const old = jobs.filter(({ id, updated_at }) => updated_at <= cursor && !this.#known.has(id));
    for (const job of jobs) this.#learn(job);
    this.#doubt(old);
    this.#settle();
  }

  /** Takes note that a job was deleted, such as by a call from here. */
  forget(id: string): void {
    this.#known.delete(id);
    this.#doubtful.delete(id);
    this.#deleted = new Set(this.#deleted).add(id);
    this.#touch();
  }

  protected override followed(): Followed {
    const http = this.#http;
    const { tag } = this.#filter;
    let turn = 0;
    // Without the status: of who leaves that while we are away, we would not be told.
    const path = () => withQuery('/api/feed', { batch: 1, tag, since: this.#cursor ?? undefined });
    const { timing } = http;
    return {
      http,
      // It has nothing to say before the database has answered.
      timing: { ...timing, greeting: timing.greeting * PATIENCE },
      ways: waysOf(http, ['socket', 'poll']),
      token: () => http.token(null, 'feed'),
      path: () => {
        // It will tell of each that goes on.
        this.#doubt(this.#known.values());
        return path();
      },
      isNew: () => this.#cursor === null,
      take: (message) => this.#take(message),
      poll: async (signal, wait) => {
        if (wait > 0) await pause(timing.poll * SLOWER, timing, signal);
        else turn = 0;
        this.#doubt(this.#known.values());
        await this.#read(signal, turn % DEEP === 0 ? PAGES : 1);
        turn += 1;
      },
      look: async (signal) => {
        try {
          await http.call(path(), isNothing, { purpose: 'feed', signal });
        } catch (error) {
          // That an upgrade is missing is all that is wrong with it.
          if (!(error instanceof ExportApiError && error.code === 'upgrade_required')) throw error;
        }
      },
    };
  }

  /** Whether all has now been told that there was to tell. */
  #take(message: unknown): boolean {
    if (isReady(message)) {
      this.#cursor = message.cursor;
      this.#settle(true);
      return true;
    }
    if (isBatch(message)) {
      this.#isHeld = true;
      for (const one of message.messages) this.#take(one);
      this.#isHeld = false;
      if (!this.#jobs) this.changed();
    } else if (isJobReply(message)) {
      this.#doubtful.delete(message.job.id);
      this.#learn(message.job);
    } else if (isDeletion(message)) this.forget(message.job_id);
    else if (isReport(message)) this.#report(message);
    return false;
  }

  #report(message: Report): void {
    const known = this.get(message.job_id);
    // A change, or the job itself, was not told: calls between objects get lost.
    const isMissed = message.seq - (message.seq % 1000) > (known?.seq ?? -1);
    if (isMissed && !isEnded(known)) this.#doubtful.add(message.job_id);
    const job = withReport(known, message);
    if (job) this.#set(job);
    if (performance.now() - this.#settledAt > this.#http.timing.poll * SLOWER) this.#settle();
  }

  #fits({ id, tags }: ExportJob): boolean {
    const { tag } = this.#filter;
    // A list that was read before may still have it.
    if (this.#deleted.has(id)) return false;
    return tag === undefined || tags.includes(tag);
  }

  #learn(next: ExportJob): void {
    if (!this.#fits(next)) return;
    const job = this.get(next.id);
    // A job that has ended changes no more, but its link is renewed.
    this.#set(isEnded(job) && isEnded(next) ? next : advance(job, next));
  }

  #set(job: ExportJob): void {
    const before = this.get(job.id);
    if (job === before) return;
    this.#known.set(job.id, job);
    if (isEnded(job)) this.#doubtful.delete(job.id);
    const gone = isEnded(job) && this.#known.size > this.#keep ? this.#trim() : [];
    if ([job, before, ...gone].some((one) => one && this.#isShown(one))) this.#touch();
  }

  /** The jobs are no longer what they were. */
  #touch(): void {
    this.#jobs = null;
    if (!this.#isHeld) this.changed();
  }

  /** Who learns jobs before a connection told anything comes as who was there when they changed last. */
  #startFrom(jobs: readonly ExportJob[]): void {
    const since = Date.now() - OLD_MS;
    const times = jobs.filter((job) => this.#fits(job)).map(({ updated_at }) => updated_at);
    const newest = Math.max(since, ...times);
    if (newest > since) this.#cursor ??= newest;
  }

  #doubt(jobs: Iterable<ExportJob>): void {
    for (const { id } of jobs) {
      const job = this.get(id);
      if (job && !isEnded(job)) this.#doubtful.add(id);
    }
  }

  /**
   * Asks for what seems to go on and was not told of: it ended unheard. Else it is asked next time. Before
   * all is told, nothing is asked for that will be.
   */
  #settle(isTold = false): void {
    if (this.#doubtful.size === 0) return;
    if (!isTold && this.getSnapshot().connection !== 'live') return;
    this.#settledAt = performance.now();
    this.#read().catch(() => undefined);
  }

  /** Reads the list, newest first, back to the oldest job in doubt; what it does not show is in doubt no more. */
  async #read(signal?: AbortSignal, pages = PAGES): Promise<void> {
    const asked = [...this.#doubtful];
    const { pagesOf } = await import('./calls.ts');
    let left = pages;
    for await (const jobs of pagesOf(this.#http, { tag: this.#filter.tag, signal })) {
      this.#startFrom(jobs);
      for (const job of jobs) this.#learn(job);
      const oldest = jobs.at(-1)?.created_at ?? 0;
      this.#miss(jobs, oldest);
      left -= 1;
      // One that is not known may be of any age.
      if (!left || asked.every((id) => (this.get(id)?.created_at ?? 0) > oldest)) break;
    }
    for (const id of asked) this.#doubtful.delete(id);
  }

  /** What has ended and is not on the page of the list where it would be was deleted. */
  #miss(page: readonly ExportJob[], oldest: number): void {
    const newest = page[0]?.created_at ?? 0;
    const ids = new Set(page.map(({ id }) => id));
    for (const job of this.#known.values()) {
      const { id, created_at } = job;
      if (isEnded(job) && oldest < created_at && created_at < newest && !ids.has(id))
        this.forget(id);
    }
  }

  #isShown({ status }: ExportJob): boolean {
    return this.#filter.status === undefined || status === this.#filter.status;
  }

  /** Forgets the oldest of too many ended ones, and returns them. */
  #trim(): ExportJob[] {
    const gone = this.#newest(isEnded).slice(this.#keep);
    for (const { id } of gone) this.#known.delete(id);
    return gone;
  }

  #newest(isWanted: (job: ExportJob) => boolean): ExportJob[] {
    return [...this.#known.values()].filter(isWanted).toSorted(newestFirst);
  }

  protected override view(link: Link, error: Error | null): ExportsState {
    const jobs = (this.#jobs ??= this.#newest((job) => this.#isShown(job)));
    const known = { jobs, deleted: this.#deleted };
    if (error) return { ...known, connection: 'closed', via: null, error, stale: true };
    return { ...known, error, ...linked(link) };
  }
}

const isNothing: Guard<never> = (_value): _value is never => false;
