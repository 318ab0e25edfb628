import type { ExportJob } from '@export-jobs/protocol';
import { brokenByNote, brokenInvariants } from '../job/invariants.ts';
import type { Job, JobIn } from '../job/job.ts';
import { transition } from '../job/machine.ts';
import { isQuestion } from '../job/events.ts';
import type { Decision, Effect, JobEvent } from '../job/events.ts';
import { viewOf } from '../job/project.ts';
import { settingsOf } from '../lib/env.ts';
import type { Env, Settings } from '../lib/env.ts';
import { downloadUrl } from '../lib/links.ts';
import { logError } from '../lib/log.ts';
import { messagesOf, reportOf } from '../lib/messages.ts';
import { drainOutbox } from '../outbox/drain.ts';
import type { OutboxItem } from '../outbox/drain.ts';
import { askOnce, perform } from '../outbox/perform.ts';
import type { EffectContext } from '../outbox/perform.ts';
import { paceOf } from './calls.ts';
import { FeedLine } from './feed-line.ts';
import type { Wanted } from './feed-line.ts';
import type { JobStore } from './job-store.ts';
import { outboxPorts } from './outbox-ports.ts';
import type { Renderers } from './renderers.ts';
import type { Viewers } from './viewers.ts';

/** What the engine drives. */
interface Parts {
  readonly ctx: DurableObjectState;
  readonly env: Env;
  readonly store: JobStore;
  readonly viewers: Viewers;
  readonly renderers: Renderers;
}

/** Where every event of a job ends: decide (pure), commit, broadcast, start the effects. */
export class JobEngine {
  readonly #ctx: DurableObjectState;
  readonly #env: Env;
  readonly #store: JobStore;
  readonly #viewers: Viewers;
  readonly #renderers: Renderers;
  readonly #feed: FeedLine;

  constructor({ ctx, env, store, viewers, renderers }: Parts) {
    this.#feed = new FeedLine(env);
    this.#ctx = ctx;
    this.#env = env;
    this.#store = store;
    this.#viewers = viewers;
    this.#renderers = renderers;
  }

  get name(): string {
    return this.#ctx.id.name ?? this.#store.job?.id ?? '';
  }

  /** @throws NotConfigured */
  get settings(): Settings {
    return settingsOf(this.#env);
  }

  get bucket(): R2Bucket {
    return this.#env.VIDEOS;
  }

  /** How often anybody wants to see reports, here or in the owner's feed, ms; null when nobody does. */
  get watchedEveryMs(): number | null {
    return this.#viewers.isAnyThere ? 0 : this.#feed.wantedEveryMs;
  }

  /**
   * The one way in which a job changes: decides on the committed job, commits the outcome with all
   * that it must cause, tells the viewers, and starts the effects. Runs without a pause, so nothing
   * can come between the decision and the commit.
   */
  apply(event: JobEvent): Decision {
    if (event.type !== 'tick') this.tick();
    const before = this.#store.job;
    const decision = this.#decide(event);
    if (decision.kind !== 'changed' && decision.kind !== 'noted') {
      const effects = decision.kind === 'unchanged' ? (decision.effects ?? []) : [];
      const { POLICY: policy } = this.settings;
      this.#start(this.#store.enqueue(effects, policy, Date.now()), effects);
      return decision;
    }
    const broken =
      decision.kind === 'changed'
        ? brokenInvariants(before, decision.job, this.settings.POLICY)
        : brokenByNote(before, decision.job);
    if (broken.length > 0) {
      logError('invariant broken', { job: this.name, event: event.type, broken });
      return { kind: 'refused', code: 'internal_error' };
    }
    if (decision.kind === 'changed') this.#commit(before, decision);
    else this.#note(decision);
    return decision;
  }

  /** What `apply` would decide, without doing it. */
  foresee(event: JobEvent): Decision {
    this.tick();
    return this.#decide(event);
  }

  /** Deadlines and the alarm itself are checked on every touch: an alarm alone is not trusted. */
  tick(): void {
    if (!this.#store.job) return;
    this.apply({ type: 'tick' });
    this.#store.heal(this.settings.POLICY, Date.now());
  }

  /** Carries out these effects and then all that is due. Never rejects. */
  drain(items: OutboxItem[]): Promise<void> {
    const carryOut = (item: OutboxItem) => perform(item, this.#context());
    const { POLICY: policy } = this.settings;
    return drainOutbox(outboxPorts(this.#store, this.name, policy, carryOut), items);
  }

  /** The owner's feed says what reports it wants. */
  reportToFeed(wanted: Wanted): void {
    const was = paceOf(this, true).next_report_ms;
    this.#feed.wanted(wanted);
    const { job } = this.#store;
    const pace = paceOf(this, true);
    if (job && pace.next_report_ms !== was) this.#renderers.pace(job, pace);
  }

  /** A job as anyone may see it. */
  show(job: Job): ExportJob {
    const { settings } = this;
    const { shown: usage } = this.#store;
    return viewOf(job, { policy: settings.POLICY, link: downloadUrl(settings), usage });
  }

  #decide(event: JobEvent): Decision {
    const { job, forgot } = this.#store;
    const { POLICY: policy } = this.settings;
    return transition(job, event, { now: Date.now(), random: Math.random(), policy, forgot });
  }

  #commit(before: Job | null, change: Extract<Decision, { kind: 'changed' }>): void {
    const { job, happening, effects } = change;
    const { POLICY: policy } = this.settings;
    this.#store.closeBill();
    const view = this.show(job);
    const fresh = this.#store.commit(job, { happening, view }, effects, policy);
    this.#viewers.broadcast(messagesOf(before, job, view, happening));
    this.#renderers.fence(job);
    this.#renderers.remember(job);
    this.#start(fresh, effects);
  }

  #note({ job, isKept, isNews, effects }: Extract<Decision, { kind: 'noted' }>): void {
    if (isKept) this.#store.keep(job, this.settings.POLICY, Date.now());
    else this.#store.note(job);
    this.#renderers.remember(job, !isKept);
    if (isNews && job.state === 'running') this.#tellReport(job);
    this.#start([], effects);
  }

  async #tellFeed(view: ExportJob): Promise<void> {
    const { job } = this.#store;
    // Its feed knows already that it is no more.
    if (job?.deletedAt !== undefined) return;
    const wanted = await this.#feed.publish(view, job);
    if (wanted) this.reportToFeed(wanted);
  }

  #tellReport(job: JobIn<'running'>): void {
    const message = reportOf(job);
    this.#viewers.broadcast([message]);
    const told = this.#feed.report(message, job);
    if (told) this.#ctx.waitUntil(told);
  }

  #start(items: OutboxItem[], effects: readonly Effect[]): void {
    if (items.length > 0) this.#ctx.waitUntil(this.drain(items));
    for (const key of effects.filter(isQuestion))
      this.#ctx.waitUntil(askOnce(key, this.#context()));
  }

  #context(): EffectContext {
    const { job, log, usage } = this.#store;
    return {
      job,
      log,
      usage,
      view: job && this.show(job),
      db: this.#env.DB,
      bucket: this.#env.VIDEOS,
      settings: this.settings,
      lookAt: () => this.#store.lookAt(Date.now()),
      apply: (event) => this.apply(event),
      tellFeed: (view) => this.#ctx.waitUntil(this.#tellFeed(view)),
    };
  }
}
