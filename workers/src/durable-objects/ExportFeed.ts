import { DurableObject } from 'cloudflare:workers';
import { FeedQuery } from '@export-jobs/protocol';
import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Env } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { messageOf } from '../lib/messages.ts';
import { feedObjectOf, objectOf } from '../lib/object.ts';
import { refuse } from '../lib/respond.ts';
import { within } from '../lib/within.ts';
import { REPORT_MS } from './feed-line.ts';
import type { Wanted } from './feed-line.ts';
import type { News } from './feed-news.ts';
import { OVERLAP_MS, tellAgain, tellNewcomers } from './feed-reading.ts';
import type { Newcomer } from './feed-reading.ts';
import { FeedShards } from './feed-shards.ts';
import { FeedViewers } from './feed-viewers.ts';
import { closeBack } from './sockets.ts';

/** For how long a job that was asked sends its reports, and the first object tells a further one, ms. */
const WANTED_MS = 3 * 60_000;
/** How often they are asked again while somebody watches, ms: objects forget. */
const RENEW_MS = 2 * 60_000;
/** When it is tried again to read D1, ms. */
const RETRY_MS = 20_000;
/** So many reports a second are told at most; of more jobs, each tells less often. */
const REPORTS_PER_SECOND = 200;
/** So many jobs are asked at one time, of which so many at once: the platform counts calls. */
const MAX_ASKED = 800;
const AT_ONCE = 50;
/** An object that has not answered by then is asked the next time, ms. */
const PATIENCE_MS = 10_000;
/** So many newcomers are brought up to date at a time: what waits to be sent to each is held in memory. */
const MAX_NEWCOMERS = 100;

const Watcher = v.object({
  tenant: v.string(),
  shard: v.optional(v.pipe(v.string(), v.toNumber()), '0'),
  until: v.optional(v.nullable(v.pipe(v.string(), v.toNumber())), null),
  bound: v.optional(v.literal('1')),
});

/**
 * What happens to all jobs of one owner, on one socket. It keeps nothing of them: D1 has each change before it is
 * told here, so whoever comes, or comes back, is brought up to date from there. The jobs tell the first object of a
 * feed; when that is full there are further ones, which it tells.
 */
export class ExportFeed extends DurableObject {
  readonly #viewers: FeedViewers;
  readonly #shards: FeedShards;
  /** Those to whom it is yet to be told what there is. */
  readonly #newcomers = new Map<WebSocket, Newcomer>();
  #isReading = false;
  /** When this one told the first object that it has viewers, epoch ms. */
  #joinedAt = 0;
  /** Up to when all that D1 had was told, epoch ms; null while this life of the object has not looked. */
  #toldUpTo: number | null = null;
  /** Whether somebody has come since nobody watched, and the jobs do not know yet. */
  #isNewlyWatched = false;
  /** When each job reported last, epoch ms. */
  readonly #heard = new Map<string, number>();
  /** How long a job waits between two reports, ms; null while it is not known how many there are. */
  #everyMs: number | null = null;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#viewers = new FeedViewers(ctx);
    this.#shards = new FeedShards(ctx, env);
  }

  /** A viewer's socket: what `Watcher` and `FeedQuery` have. The Worker knows who it is. */
  override async fetch(request: Request): Promise<Response> {
    const { tenant, shard, until, bound, ...rest } = Object.fromEntries(
      new URL(request.url).searchParams,
    );
    const watcher = v.parse(Watcher, { tenant, shard, until, bound });
    const newcomer = { ...v.parse(FeedQuery, rest), bound: watcher.bound !== undefined };
    this.#isNewlyWatched ||= this.#owner === null;
    const accepted = this.#viewers.accept(request, {
      ...watcher,
      bound: newcomer.bound,
      tag: newcomer.tag ?? null,
      batch: newcomer.batch !== undefined,
    });
    if (!accepted) return refuse('too_many_viewers');
    this.#newcomers.set(accepted.socket, newcomer);
    this.ctx.waitUntil(this.#greet());
    return accepted.response;
  }

  /** A job has changed, and D1 has it. */
  publish(job: ExportJob): Wanted {
    this.#tell({ message: messageOf(job, 'snapshot'), tags: job.tags });
    return this.#wanted();
  }

  /** A job was deleted, of whose tags perhaps nothing is known any more. */
  forget(job_id: string, tags: readonly string[] | null): void {
    this.#tell({ message: { type: 'deleted', job_id }, tags });
  }

  /** A job that is being processed has reported. */
  report(message: JobMessage, tags: readonly string[]): Wanted {
    this.#heard.set(message.job_id, Date.now());
    this.#tell({ message, tags });
    return this.#wanted();
  }

  /** Of the first object: a further one has viewers until then, epoch ms, and is told all that comes after this. */
  async join(tenant: string, shard: number, until: number): Promise<void> {
    const isWatched = this.#owner !== null;
    this.#shards.join(tenant, shard, until);
    // So that the jobs are asked for their reports; at once, if nobody had asked them.
    if (isWatched) await this.#armAlarm();
    else await this.ctx.storage.setAlarm(Date.now());
  }

  /** Of a further object: what the first one was told. */
  relay(news: readonly News[]): void {
    for (const one of news) this.#viewers.tell(one);
  }

  /**
   * For as long as somebody watches: asks the jobs again, tells what changed since the last time, for a call of
   * theirs may have been lost, and moves the cursors on.
   */
  override async alarm(): Promise<void> {
    this.#viewers.dismiss();
    const owner = this.#owner;
    if (!owner) return;
    try {
      const cursor = Date.now();
      await this.ctx.storage.setAlarm(cursor + RENEW_MS);
      await this.#join(owner);
      // From where it came to the last time, which may be long ago.
      const since = Math.min(this.#toldUpTo ?? cursor, cursor - RENEW_MS) - OVERLAP_MS;
      const tell = (news: News) => this.#viewers.tell(news);
      const running = await tellAgain(this.env, owner.tenant, since, tell);
      // A newcomer has yet to be told more than this.
      this.#viewers.moveOn(cursor, (socket) => !this.#newcomers.has(socket));
      this.#toldUpTo = cursor;
      this.ctx.waitUntil(this.#askForReports(owner, running));
    } catch (error) {
      logError('feed', { error: String(error) });
      await this.ctx.storage.setAlarm(Date.now() + RETRY_MS);
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

  /** Brings newcomers up to date: all who wait by one reading, a hundred at a time. */
  async #greet(): Promise<void> {
    if (this.#isReading) return;
    this.#isReading = true;
    while (this.#newcomers.size > 0) {
      const some = new Map([...this.#newcomers].slice(0, MAX_NEWCOMERS));
      try {
        await this.#bringUpToDate(some);
      } catch (error) {
        logError('feed', { error: String(error) });
        for (const socket of some.keys()) closeBack(socket, 1011, 'the database is away');
      }
      for (const socket of some.keys()) this.#newcomers.delete(socket);
    }
    this.#isReading = false;
  }

  /** What happens meanwhile is told at once: a viewer drops what it hears late, by the job's number. */
  async #bringUpToDate(newcomers: ReadonlyMap<WebSocket, Newcomer>): Promise<void> {
    const owner = this.#owner;
    if (!owner) return;
    await this.#join(owner);
    const running = await tellNewcomers(this.env, owner.tenant, newcomers);
    await this.#armAlarm();
    this.#pace(running.length);
    if (!this.#isNewlyWatched) return;
    this.#isNewlyWatched = false;
    // Nobody waits for it: there are many, and some may be slow.
    this.ctx.waitUntil(this.#askForReports(owner, running));
  }

  async #armAlarm(): Promise<void> {
    if ((await this.ctx.storage.getAlarm()) !== null) return;
    this.#toldUpTo = Date.now();
    await this.ctx.storage.setAlarm(this.#toldUpTo + RENEW_MS);
  }

  #pace(running: number): void {
    this.#everyMs = Math.max(REPORT_MS, (running * 1000) / REPORTS_PER_SECOND);
  }

  /** Has the jobs under way send their reports to the first object, but for those that do. */
  async #askForReports({ shard }: Owner, running: readonly string[]): Promise<void> {
    if (shard !== 0) return;
    this.#pace(running.length);
    const awhileAgo = Date.now() - 3 * (this.#everyMs ?? REPORT_MS);
    for (const [id, at] of this.#heard) if (at < awhileAgo) this.#heard.delete(id);
    const silent = running.filter((id) => !this.#heard.has(id));
    // Other ones each time, where there are more.
    const from = Math.floor(Math.random() * Math.max(1, silent.length - MAX_ASKED));
    silent.splice(0, from);
    silent.splice(MAX_ASKED);
    for (let i = 0; i < silent.length; i += AT_ONCE) {
      const asked = silent.slice(i, i + AT_ONCE);
      await Promise.allSettled(
        asked.map((id) =>
          within(PATIENCE_MS, () => objectOf(this.env, id).reportToFeed(this.#wanted())),
        ),
      );
    }
  }

  /** Tells the first object that this one has viewers, before anything is read that might change unheard. */
  async #join({ tenant, shard }: Owner): Promise<void> {
    const now = Date.now();
    if (shard === 0 || now < this.#joinedAt + WANTED_MS / 6) return;
    const first = feedObjectOf(this.env, tenant);
    await within(PATIENCE_MS, async () => first?.join(tenant, shard, now + WANTED_MS));
    this.#joinedAt = now;
  }

  #tell(news: News): void {
    this.#viewers.tell(news);
    this.#shards.tell(news);
  }

  /** Whose feed this is, and which of its objects; null while nobody watches. */
  get #owner(): Owner | null {
    const { tenant } = this.#shards;
    return this.#viewers.owner ?? (tenant === null ? null : { tenant, shard: 0 });
  }

  #wanted(): Wanted {
    const until = this.#owner ? Date.now() + WANTED_MS : 0;
    return { until, everyMs: this.#everyMs };
  }
}

interface Owner {
  readonly tenant: string;
  readonly shard: number;
}
