import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import type { Job, JobIn } from '../job/job.ts';
import type { Env } from '../lib/env.ts';
import { logError } from '../lib/log.ts';

/** A feed is told of a job's reports at most this often, ms: each is a billed call. */
const REPORT_MS = 1000;
/**
 * The pauses between tries to tell of a change, ms. After that it is given up: the feed is no promise of
 * the job's, and whoever comes to it again reads D1.
 */
const PAUSES_MS = [1000, 4000];

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

  /**
   * Tells of a change. Resolves with until when reports are wanted, epoch ms; null when that is not
   * known, or was learned otherwise meanwhile. Never rejects.
   */
  async publish(view: ExportJob, job: Job | null): Promise<number | null> {
    const feed = this.#of(job);
    if (!feed) return null;
    const known = this.#wantedUntil;
    for (const pauseMs of [...PAUSES_MS, null]) {
      try {
        const until = await feed.publish(view);
        return known === this.#wantedUntil ? until : null;
      } catch (error) {
        if (pauseMs === null) logError('feed', { job: view.id, error: String(error) });
        else await scheduler.wait(pauseMs);
      }
    }
    return null;
  }

  /** Tells of a report, if anybody wants to know; null when nobody does. Never rejects. */
  report(message: JobMessage, job: JobIn<'running'>): Promise<void> | null {
    const feed = this.#of(job);
    if (!feed || !this.isWatched || job.updatedAt - this.#reportedAt < REPORT_MS) return null;
    this.#reportedAt = job.updatedAt;
    const until: Promise<number> = feed.report(message, job.request?.tags ?? []);
    return until.then(
      (at) => this.wanted(at),
      // The next report is told again.
      () => undefined,
    );
  }

  #of(job: Job | null) {
    return job && this.#env.EXPORT_FEED?.getByName(job.tenant);
  }
}
