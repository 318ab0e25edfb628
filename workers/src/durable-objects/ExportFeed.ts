import { DurableObject } from 'cloudflare:workers';
import { FeedQuery, isTerminal } from '@export-jobs/protocol';
import type { ExportJob, FeedMessage, JobMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import { changedSince, deletedSince } from '../lib/job-views.ts';
import { settingsOf } from '../lib/env.ts';
import type { Env } from '../lib/env.ts';
import { relink } from '../lib/links.ts';
import { logError } from '../lib/log.ts';
import { messageOf } from '../lib/messages.ts';
import { objectOf } from '../lib/object.ts';
import { refuse } from '../lib/respond.ts';
import { FeedViewers, isWanted } from './feed-viewers.ts';
import { closeBack } from './sockets.ts';

/** For how long a job that was asked sends its reports, ms. */
const WANTED_MS = 3 * 60_000;
/** How often the jobs are asked again while somebody watches, ms: objects forget. */
const RENEW_MS = 2 * 60_000;
/** Changes of this long before the cursor are told again, ms: the clocks of objects differ. */
const OVERLAP_MS = 60_000;
/** So many jobs are asked at once. */
const AT_ONCE = 50;

/**
 * What happens to all jobs of one owner, on one socket. It keeps nothing: D1 has each change before it is
 * told here, so whoever comes, or comes back, is brought up to date from there.
 */
export class ExportFeed extends DurableObject {
  readonly #viewers: FeedViewers;
  /** Those to whom it is yet to be told what there is. */
  readonly #newcomers = new WeakSet<WebSocket>();

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#viewers = new FeedViewers(ctx);
  }

  /** A viewer's socket, `?tenant=&until=` and what `FeedQuery` has. The Worker knows who it is. */
  override async fetch(request: Request): Promise<Response> {
    const { tenant = '', until, ...rest } = Object.fromEntries(new URL(request.url).searchParams);
    const query = v.parse(FeedQuery, rest);
    const wish = {
      tenant,
      tag: query.tag ?? null,
      until: until === undefined ? null : Number(until),
    };
    const accepted = this.#viewers.accept(request, wish);
    if (!accepted) return refuse('too_many_viewers');
    this.ctx.waitUntil(this.#bringUpToDate(accepted.socket, tenant, query));
    return accepted.response;
  }

  /** A job has changed, and D1 has it. Returns until when its reports are wanted, epoch ms. */
  publish(job: ExportJob): number {
    this.#viewers.tell(messageOf(job, 'snapshot'), job.tags);
    return this.#wantedUntil();
  }

  /** A job was deleted. */
  forget(job_id: string): void {
    this.#viewers.tell({ type: 'deleted', job_id }, null);
  }

  /** A job that is being processed has reported. */
  report(message: JobMessage, tags: readonly string[]): number {
    this.#viewers.tell(message, tags);
    return this.#wantedUntil();
  }

  /**
   * For as long as somebody watches: asks the jobs again, tells what changed since the last time, for a call of
   * theirs may have been lost, and moves the cursors on.
   */
  override async alarm(): Promise<void> {
    const { tenant } = this.#viewers;
    if (tenant === null) return;
    try {
      const cursor = Date.now();
      await this.ctx.storage.setAlarm(cursor + RENEW_MS);
      const since = cursor - RENEW_MS - OVERLAP_MS;
      const jobs = await this.#jobs(tenant, since);
      for (const job of jobs.filter(({ updated_at }) => updated_at >= since)) {
        this.#viewers.tell(messageOf(this.#relinked(job), 'snapshot'), job.tags);
      }
      for (const id of await deletedSince(this.env.DB, tenant, since)) this.forget(id);
      for (const socket of this.ctx.getWebSockets()) {
        if (!this.#newcomers.has(socket)) this.#viewers.say(socket, [{ type: 'ready', cursor }]);
      }
      await this.#askForReports(jobs);
    } catch (error) {
      logError('feed', { error: String(error) });
    }
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    this.#viewers.hear(socket, message);
  }

  override webSocketClose(socket: WebSocket, code: number, reason: string): void {
    closeBack(socket, code, reason);
  }

  override webSocketError(socket: WebSocket): void {
    closeBack(socket, 1011, 'socket error');
  }

  /**
   * Tells a newcomer of the jobs that have not ended, and of those that changed since it was here. What
   * happens meanwhile is told at once: a viewer drops what it hears late, by the job's number.
   */
  async #bringUpToDate(
    socket: WebSocket,
    tenant: string,
    { tag, status, since }: FeedQuery,
  ): Promise<void> {
    this.#newcomers.add(socket);
    try {
      const cursor = Date.now();
      const jobs = await this.#jobs(tenant, (since ?? cursor) - OVERLAP_MS);
      const isShown = (job: ExportJob) =>
        isWanted({ tag: tag ?? null }, job.tags) &&
        (status === undefined || job.status === status) &&
        (since !== undefined || !isTerminal(job.status));
      const told = jobs.filter(isShown).map((job) => messageOf(this.#relinked(job), 'snapshot'));
      const deleted = since === undefined ? [] : await this.#deleted(tenant, since);
      this.#viewers.say(socket, [...told, ...deleted, { type: 'ready', cursor }]);
      this.#newcomers.delete(socket);
      if ((await this.ctx.storage.getAlarm()) === null) {
        await this.ctx.storage.setAlarm(cursor + RENEW_MS);
      }
      await this.#askForReports(jobs);
    } catch (error) {
      logError('feed', { error: String(error) });
      closeBack(socket, 1011, 'the database is away');
    }
  }

  #jobs(tenant: string, since: number): Promise<ExportJob[]> {
    const { job_ms: lifeMs } = settingsOf(this.env).POLICY;
    return changedSince(this.env.DB, tenant, { since, lifeMs });
  }

  async #deleted(tenant: string, since: number): Promise<FeedMessage[]> {
    const ids = await deletedSince(this.env.DB, tenant, since - OVERLAP_MS);
    return ids.map((job_id) => ({ type: 'deleted', job_id }));
  }

  /** Has the jobs that are being processed send their reports here. */
  async #askForReports(jobs: readonly ExportJob[]): Promise<void> {
    const running = jobs.filter(({ status }) => status === 'processing');
    for (let i = 0; i < running.length; i += AT_ONCE) {
      const asked = running.slice(i, i + AT_ONCE);
      await Promise.allSettled(
        asked.map(({ id }) => objectOf(this.env, id).reportToFeed(Date.now() + WANTED_MS)),
      );
    }
  }

  #relinked(job: ExportJob): ExportJob {
    return relink(job, settingsOf(this.env));
  }

  #wantedUntil(): number {
    return this.#viewers.tenant === null ? 0 : Date.now() + WANTED_MS;
  }
}
