import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import type { Job, JobIn } from '../job/job.ts';
import type { Env } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { feedObjectOf } from '../lib/object.ts';

/** A feed is told of a job's reports at most this often, ms: each is a billed call. */
export const REPORT_MS = 1000;
/**
 * The pauses between tries to tell of a change, ms. After that it is given up: the feed is no promise of
 * the job's, and whoever comes to it again reads D1.
 */
const PAUSES_MS = [1000, 4000];

/** A report that comes this much before its time is on time. */
const EARLY = 0.9;

/** What a feed wants of a job's reports. */
export interface Wanted {
  /** Until when they are, epoch ms; 0 when they are not. */
  readonly until: number;
  /** How often at most, ms; null when the feed does not know, and it stays as it was. */
  readonly everyMs: number | null;
}

/** The line from one job to the feed of its owner. What it knows may be lost: the feed asks again. */
export class FeedLine {
  readonly #env: Env;
  #wantedUntil = 0;
  #everyMs = REPORT_MS;
  #reportedAt = 0;

  constructor(env: Env) {
    this.#env = env;
  }

  /** How often reports are wanted, ms; null when they are not. */
  get wantedEveryMs(): number | null {
    return Date.now() < this.#wantedUntil ? this.#everyMs : null;
  }

  /** The feed says what it wants. */
  wanted({ until, everyMs }: Wanted): void {
    this.#wantedUntil = until;
    this.#everyMs = everyMs ?? this.#everyMs;
  }

  /**
   * Tells of a change. Resolves with what reports are wanted; null when that is not
   * known, or was learned otherwise meanwhile. Never rejects.
   */
  async publish(view: ExportJob, job: Job | null): Promise<Wanted | null> {
    const feed = this.#of(job);
    if (!feed) return null;
    const known = this.#wantedUntil;
    for (const pauseMs of [...PAUSES_MS, null]) {
      try {
        const wanted = await feed.publish(view);
        return known === this.#wantedUntil ? wanted : null;
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
    if (
      !feed ||
      this.wantedEveryMs === null ||
      job.updatedAt - this.#reportedAt < this.#everyMs * EARLY
    )
      return null;
    this.#reportedAt = job.updatedAt;
    const answer: Promise<Wanted> = feed.report(message, job.request?.tags ?? []);
    return answer.then(
      (wanted) => this.wanted(wanted),
      // The next report is told again.
      () => undefined,
    );
  }

  #of(job: Job | null) {
    return job && feedObjectOf(this.#env, job.tenant);
  }
}
