import { DurableObject } from 'cloudflare:workers';
import type { ExportJob } from '@export-jobs/protocol';
import { brokenInvariants } from '../job/invariants.ts';
import type { JobRequest } from '../job/job.ts';
import { transition } from '../job/machine.ts';
import { isQuestion } from '../job/events.ts';
import type { Decision, Effect, JobEvent } from '../job/events.ts';
import { viewOf } from '../job/project.ts';
import type { Call } from '../lib/calls.ts';
import { settingsOf } from '../lib/env.ts';
import type { Env, Settings } from '../lib/env.ts';
import { downloadUrl } from '../lib/links.ts';
import { logError } from '../lib/log.ts';
import { greetingOf, messageOf } from '../lib/messages.ts';
import type { Answer, Renderer, StatusReply } from '../lib/types.ts';
import { drainOutbox } from '../outbox/drain.ts';
import type { OutboxItem } from '../outbox/drain.ts';
import { askOnce, perform } from '../outbox/perform.ts';
import type { EffectContext } from '../outbox/perform.ts';
import { answerCall, filesOf } from './calls.ts';
import type { RenderFiles } from './calls.ts';
import { serveContract } from './http.ts';
import { JobStore } from './job-store.ts';
import { outboxPorts } from './outbox-ports.ts';
import { purgeWhenDue } from './purge.ts';
import { Viewers, closeBack } from './viewers.ts';

/** How long an alarm that failed waits before it is tried again, ms. */
const ALARM_RETRY_MS = 60_000;

/**
 * The single authority on one export job. Every entrance ends in `apply`: parse, decide (pure),
 * commit, broadcast, arm. No field holds anything that could not be read again from disk.
 */
export class ExportJobState extends DurableObject {
  readonly #store: JobStore;
  readonly #viewers: Viewers;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    this.#store = new JobStore(ctx.storage);
    this.#viewers = new Viewers(ctx);
    void ctx.blockConcurrencyWhile(() => this.#store.recallAlarm());
  }

  /** The contract over HTTP, and the upgrade of viewers. Callers are authenticated before. */
  override fetch(request: Request): Promise<Response> {
    return serveContract(this, request);
  }

  /** Makes the job that this object is for; a repeat with the same request changes nothing. */
  create(tenant: string, request: JobRequest, requestHash: string): Answer<{ job: ExportJob }> {
    const processing = false;
    const init = { type: 'init', id: this.name, tenant, requestHash, request } as const;
    return this.#answer(this.apply({ ...init, progress: 0, processing }));
  }

  /** One call of the contract. `from` is the renderer's proven attempt, or null by hand. */
  call(call: Call, from: Renderer): Promise<Answer> {
    return answerCall(this, call, from);
  }

  /** The job, or null when it was never made, has been forgotten, or is another tenant's. */
  view(tenant: string | null): ExportJob | null {
    this.#tick();
    const { job } = this.#store;
    return job && (tenant === null || job.tenant === tenant) ? this.#view() : null;
  }

  status(): StatusReply {
    this.#tick();
    const { job, parked } = this.#store;
    const view = this.#view();
    if (!job || !view) return { status: 'not_found' };
    const last_heartbeat = job.state === 'running' ? job.heartbeatAt : job.updatedAt;
    return { job: view, connections: this.#viewers.count, last_heartbeat, parked };
  }

  /** The log of the job as NDJSON, or null as `view`. */
  log(tenant: string): string | null {
    return this.view(tenant) === null ? null : this.#store.logLines();
  }

  /** The provider has something to tell about a job that an attempt was handed over as. */
  hint(attempt: number, remoteId: string | null): void {
    this.apply({ type: 'hint', attempt, remoteId });
  }

  cancel(tenant: string): Answer<{ job: ExportJob }> {
    if (this.view(tenant) === null) return { ok: false, code: 'job_not_found' };
    return this.#answer(this.apply({ type: 'cancel' }));
  }

  /** Which files the owner of an attempt may read and write, while it is the owner. */
  files(from: NonNullable<Renderer>, epoch: number | null): Answer<RenderFiles> {
    this.#tick();
    return filesOf(this.#store.job, from.attempt, epoch);
  }

  /** Accepts a viewer: the present state at once, after what it missed since a number. */
  watch(request: Request): Response | null {
    this.#tick();
    const accepted = this.#viewers.accept(request, Date.now());
    if (!accepted) return null;
    const since = Number(new URL(request.url).searchParams.get('since') ?? Number.NaN);
    this.#greet(accepted.socket, Number.isSafeInteger(since) && since >= 0 ? since : null);
    return accepted.response;
  }

  /**
   * Catches up with overdue deadlines; for the sweeper, should an alarm be lost. Returns when an
   * ended job should be looked at again, epoch ms; null when it has not ended or is forgotten.
   */
  wake(): number | null {
    this.#tick();
    return this.#store.lookAt(this.settings.POLICY, Date.now());
  }

  /**
   * Must not reject: after six failures the platform drops an alarm without a word, and one that is
   * set again for a moment already past would spin. So a failure waits before it is tried again.
   */
  override async alarm(): Promise<void> {
    try {
      const isRefused = this.#store.job && this.apply({ type: 'tick' }).kind === 'refused';
      await this.#drain([]);
      if (await purgeWhenDue(this.#store, this.env, this.settings.POLICY)) {
        for (const socket of this.ctx.getWebSockets()) closeBack(socket, 1000, 'archived');
      }
      // What was refused now is due all the same, and would be again at once.
      const earliest = isRefused ? Date.now() + ALARM_RETRY_MS : 0;
      this.#store.rearm(this.settings.POLICY, Date.now(), earliest);
    } catch (error) {
      logError('alarm', { job: this.name, error: String(error) });
      await this.ctx.storage.setAlarm(Date.now() + ALARM_RETRY_MS);
    }
  }

  override webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): void {
    const subscription = this.#viewers.hear(socket, message, Date.now());
    if (subscription) this.#greet(socket, subscription.since);
  }

  override webSocketClose(socket: WebSocket, code: number, reason: string): void {
    closeBack(socket, code, reason);
  }

  override webSocketError(socket: WebSocket): void {
    closeBack(socket, 1011, 'socket error');
  }

  /**
   * The one way in which a job changes: decides on the committed job, commits the outcome with all
   * that it must cause, tells the viewers, and starts the effects. Runs without a pause, so nothing
   * can come between the decision and the commit.
   */
  apply(event: JobEvent): Decision {
    if (event.type !== 'tick') this.#tick();
    const given = { now: Date.now(), random: Math.random(), policy: this.settings.POLICY };
    const decision = transition(this.#store.job, event, given);
    if (decision.kind === 'changed') {
      const broken = brokenInvariants(this.#store.job, decision.job, given.policy);
      if (broken.length > 0) {
        logError('invariant broken', { job: this.name, event: event.type, broken });
        return { kind: 'refused', code: 'internal_error' };
      }
      this.#commit(decision);
    }
    if (decision.kind === 'unchanged' && decision.effects) {
      this.#start(this.#store.enqueue(decision.effects, given.now), decision.effects);
    }
    return decision;
  }

  /** What `apply` would decide, without doing it. */
  foresee(event: JobEvent): Decision {
    this.#tick();
    const given = { now: Date.now(), random: 0, policy: this.settings.POLICY };
    return transition(this.#store.job, event, given);
  }

  get name(): string {
    return this.ctx.id.name ?? this.#store.job?.id ?? '';
  }

  get settings(): Settings {
    return settingsOf(this.env);
  }

  get bucket(): R2Bucket {
    return this.env.VIDEOS;
  }

  get watched(): boolean {
    return this.#viewers.count > 0;
  }

  #commit({ job, happening, effects }: Extract<Decision, { kind: 'changed' }>): void {
    const { settings } = this;
    const view = viewOf(job, settings.POLICY, downloadUrl(settings));
    const fresh = this.#store.commit(job, { happening, view }, effects, settings.POLICY);
    this.#viewers.broadcast(messageOf(view, happening));
    this.#start(fresh, effects);
  }

  #start(items: OutboxItem[], effects: readonly Effect[]): void {
    if (items.length > 0) this.ctx.waitUntil(this.#drain(items));
    for (const key of effects.filter(isQuestion)) this.ctx.waitUntil(askOnce(key, this.#context()));
  }

  /** Deadlines and the alarm itself are checked on every touch: an alarm alone is not trusted. */
  #tick(): void {
    if (!this.#store.job) return;
    this.apply({ type: 'tick' });
    this.#store.heal(this.settings.POLICY, Date.now());
  }

  #drain(items: OutboxItem[]): Promise<void> {
    const carryOut = (item: OutboxItem) => perform(item, this.#context());
    return drainOutbox(outboxPorts(this.#store, this.name, carryOut), items);
  }

  #context(): EffectContext {
    return {
      job: this.#store.job,
      view: this.#view(),
      db: this.env.DB,
      bucket: this.env.VIDEOS,
      settings: this.settings,
      lookAt: () => this.#store.lookAt(this.settings.POLICY, Date.now()),
      apply: (event) => this.apply(event),
    };
  }

  #greet(socket: WebSocket, since: number | null): void {
    const view = this.#view();
    if (!view) return;
    const missed = since === null ? [] : this.#store.eventsAfter(since);
    this.#viewers.send(socket, [
      ...missed.map((old) => messageOf(old, 'snapshot')),
      ...greetingOf(view),
    ]);
  }

  #view(): ExportJob | null {
    const { settings } = this;
    const { job } = this.#store;
    return job && viewOf(job, settings.POLICY, downloadUrl(settings));
  }

  #answer(decision: Decision): Answer<{ job: ExportJob }> {
    if (decision.kind === 'refused') return { ok: false, code: decision.code };
    return {
      ok: true,
      body: { job: viewOf(decision.job, this.settings.POLICY, downloadUrl(this.settings)) },
    };
  }
}
