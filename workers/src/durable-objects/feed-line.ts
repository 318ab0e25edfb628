import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import type { Job, JobIn } from '../job/job.ts';
import type { Env } from '../lib/env.ts';

/** A feed is told of a job's reports at most this often, ms: each is a billed call. */
const REPORT_MS = 1000;

/** The line from one job to the feed of its owner. What it knows may be lost: the feed asks again. */
export class FeedLine {
  readonly #env: Env;
  #wantedUntil = 0;
  #reportedAt = 0;

  constructor(env: Env) {
    this.#env = env;
  }

  get isWatched(): boolean {
    return Date.now() < this.#wantedUntil;
  }

  /** Reports are wanted until then, epoch ms. */
  wanted(until: number): void {
    this.#wantedUntil = until;
  }

  /** Tells of a change. Resolves with until when reports are wanted. @throws when the feed is out of reach. */
  async publish(view: ExportJob, job: Job | null): Promise<number> {
    const feed = this.#of(job);
    return feed ? await feed.publish(view) : 0;
  }

  /** Tells of a report, if anybody wants to know; null when nobody does. Never rejects. */
  report(message: JobMessage, job: JobIn<'running'>): Promise<void> | null {
    const feed = this.#of(job);
    if (!feed || !this.isWatched || job.updatedAt - this.#reportedAt < REPORT_MS) return null;
    this.#reportedAt = job.updatedAt;
    const until: Promise<number> = feed.report(message, job.request?.tags ?? []);
    return until.then(
      (at) => this.wanted(at),
      // The next report is told again, and a change of state is owed until it was.
      () => undefined,
    );
  }

  #of(job: Job | null) {
    return job && this.#env.EXPORT_FEED?.getByName(job.tenant);
  }
}
