import { DurableObject } from 'cloudflare:workers';
import type { ExportJob } from '@export-jobs/protocol';
import type { Job, JobRequest } from '../job/job.ts';
import type { Decision } from '../job/events.ts';
import { asSeenSince } from '../job/project.ts';
import type { Call } from '../lib/calls.ts';
import type { Env } from '../lib/env.ts';
import { logError } from '../lib/log.ts';
import { greetingOf, messageOf } from '../lib/messages.ts';
import type { Answer, Renderer, StatusReply } from '../lib/types.ts';
import { answerCall, filesOf, paceOf } from './calls.ts';
import type { RenderFiles } from './calls.ts';
import { readFrame } from './channel.ts';
import type { Wanted } from './feed-line.ts';
import { serveContract } from './http.ts';
import { JobEngine } from './job-engine.ts';
import { JobStore } from './job-store.ts';
import { forgetSoon, markDeleted, purgeWhenDue } from './purge.ts';
import { Renderers, answerOn } from './renderers.ts';
import { closeBack } from './sockets.ts';
import { Viewers } from './viewers.ts';
import type { Leave } from './viewers.ts';

/** How long an alarm that failed waits before it is tried again, ms. */
const ALARM_RETRY_MS = 60_000;

/**
 * The single authority on one export job: what calls, sockets and alarms of it do. Each becomes an event
 * of the engine. What a field holds can be read again from disk, or from the sockets that outlive a
 * sleep, or is a hint that may be lost.
 */
export class ExportJobState extends DurableObject {
  readonly #store: JobStore;
  readonly #engine: JobEngine;
  readonly #viewers: Viewers;
  readonly #renderers: Renderers;

  constructor(ctx: DurableObjectState, env: Env) {
    super(ctx, env);
    const viewers = new Viewers(ctx);
    const renderers = new Renderers(ctx);
    const store = new JobStore(ctx.storage, (job) => renderers.recall(job));
    this.#engine = new JobEngine({ ctx, env, store, viewers, renderers });
    this.#store = store;
    this.#viewers = viewers;
    this.#renderers = renderers;
    void ctx.blockConcurrencyWhile(() => store.recallAlarm());
  }

  /** The contract over HTTP, and the upgrades of sockets. Callers are authenticated before. */
  override fetch(request: Request): Promise<Response> {
    return serveContract(this, request);
  }

  /** Makes the job that this object is for; a repeat with the same request changes nothing. */
  create(tenant: string, request: JobRequest, requestHash: string): Answer<{ job: ExportJob }> {
    this.#count();
    const { name: id } = this.#engine;
    const init = { type: 'init', id, tenant, requestHash, request, progress: 0 } as const;
    return this.#answer(this.#engine.apply({ ...init, processing: false }));
  }

  /** One call of the contract. `from` is the renderer's proven attempt, or null by hand. */
  call(call: Call, from: Renderer): Promise<Answer> {
    this.#count();
    return answerCall(this.#engine, call, from);
  }

  /** The job, or null when it was never made, has been forgotten, or is another tenant's. */
  view(tenant: string | null): ExportJob | null {
    const owner = this.#store.job?.tenant;
    // Whoever it does not belong to leaves no trace, on its bill for instance.
    if (owner !== undefined && tenant !== null && owner !== tenant) return null;
    this.#enter();
    const job = this.#job;
    return job && this.#engine.show(job);
  }

  status(tenant: string | null): StatusReply {
    const isSeen = this.view(tenant) !== null;
    const { outbox } = this.#store;
    const job = this.#job;
    if (!job || !isSeen) return { status: 'not_found' };
    const last_heartbeat = job.state === 'running' ? job.heartbeatAt : job.updatedAt;
    const connections = this.#viewers.count;
    return { job: this.#engine.show(job), connections, last_heartbeat, parked: outbox.parked };
  }

  /** Where the input is if that is not here, which no view tells; for a job that repeats this one. */
  inputUrl(tenant: string): string | null {
    const request = this.view(tenant) && this.#store.job?.request;
    return request?.input.kind === 'url' ? request.input.url : null;
  }

  /** The log of the job as NDJSON, or null as `view`. */
  log(tenant: string): string | null {
    return this.view(tenant) === null ? null : this.#store.logLines();
  }

  /** The provider has something to tell about a job that an attempt was handed over as. */
  hint(attempt: number, remoteId: string | null): void {
    this.#count();
    this.#engine.apply({ type: 'hint', attempt, remoteId });
  }

  cancel(tenant: string | null): Answer<{ job: ExportJob }> {
    if (this.view(tenant) === null) return { ok: false, code: 'job_not_found' };
    return this.#answer(this.#engine.apply({ type: 'cancel' }));
  }

  /** Has an ended job forgotten, with its files: nobody sees it from now on. A repeat changes nothing. Returns its tags. */
  async delete(tenant: string): Promise<Answer<{ tags: string[] }>> {
    // As with `view`: whoever it does not belong to leaves no trace.
    if (this.#store.job?.tenant !== tenant) return { ok: false, code: 'job_not_found' };
    this.#enter();
    const { POLICY: policy } = this.#engine.settings;
    const answer = markDeleted(this.#store, policy);
    if (!answer.ok) return answer;
    this.#hangUp('deleted');
    await forgetSoon(this.#store, this.env, policy);
    return answer;
  }

  /** Which files the owner of an attempt may read and write, while it is the owner. */
  files(from: NonNullable<Renderer>, epoch: number | null): Answer<RenderFiles> {
    this.#enter();
    return filesOf(this.#store.job, from.attempt, epoch);
  }

  /** Accepts a viewer: the present state at once, after what it missed since a number. */
  watch(request: Request, since: number | null, leave: Leave): Response | null {
    const accepted = this.#viewers.accept(request, leave, Date.now());
    if (!accepted) return null;
    this.#greet(accepted.socket, since);
    if (this.#viewers.count === 1) this.#pace();
    return accepted.response;
  }

  /** Accepts the socket of the owner of an attempt. */
  connectRenderer(request: Request, attempt: number, epoch: number): Response | Answer<never> {
    const files = this.files({ attempt }, epoch);
    const { job } = this.#store;
    if (!files.ok || !job) return files.ok ? { ok: false, code: 'job_finished' } : files;
    const response = this.#renderers.accept(request, { attempt, epoch });
    this.#renderers.remember(job);
    return response;
  }

  /** The owner's feed says what reports it wants. */
  reportToFeed(wanted: Wanted): void {
    this.#enter();
    this.#engine.reportToFeed(wanted);
  }

  /**
   * Catches up with overdue deadlines; for the sweeper, should an alarm be lost. Returns when the job
   * should be looked at again, epoch ms; null when that is never.
   */
  wake(): number | null {
    this.#enter();
    return this.#store.lookAt(Date.now());
  }

  /**
   * Must not reject: after six failures the platform drops an alarm without a word, and one that is
   * set again for a moment already past would spin. So a failure waits before it is tried again.
   */
  override async alarm(): Promise<void> {
    try {
      const { POLICY: policy } = this.#engine.settings;
      this.#store.fired();
      this.#count();
      const isRefused = this.#store.job && this.#engine.apply({ type: 'tick' }).kind === 'refused';
      await this.#engine.drain([]);
      if (await purgeWhenDue(this.#store, this.env, policy)) this.#hangUp('archived');
      // What was refused now is due all the same, and would be again at once.
      const now = Date.now();
      this.#store.arm(policy, now, isRefused ? now + ALARM_RETRY_MS : 0);
    } catch (error) {
      logError('alarm', { job: this.#engine.name, error: String(error) });
      await this.ctx.storage.setAlarm(Date.now() + ALARM_RETRY_MS);
    }
  }

  override async webSocketMessage(socket: WebSocket, message: string | ArrayBuffer): Promise<void> {
    const renderer = this.#renderers.ownerOf(socket);
    if (renderer) return this.#hear(socket, renderer.attempt, message);
    const subscription = this.#viewers.hear(socket, message, Date.now());
    if (subscription) this.#greet(socket, subscription.since);
  }

  override webSocketClose(socket: WebSocket, code: number, reason: string): void {
    closeBack(socket, code, reason);
    this.#left(socket);
  }

  override webSocketError(socket: WebSocket): void {
    closeBack(socket, 1011, 'socket error');
    this.#left(socket);
  }

  /** A renderer says something. What is no call closes its socket: by POST it is told why. */
  async #hear(socket: WebSocket, attempt: number, message: string | ArrayBuffer): Promise<void> {
    this.#store.usage.messages += 1;
    const framed = readFrame(message);
    if (!framed) return this.#renderers.drop(socket, 1007, 'not a call');
    const answer = await answerCall(this.#engine, framed.call, { attempt, bySocket: true });
    answerOn(socket, framed.seq, answer);
  }

  #left(socket: WebSocket): void {
    const by = this.#renderers.left(socket);
    if (!by) return this.#engine.watchedEveryMs !== null ? undefined : this.#pace();
    if (!this.#renderers.isConnected(by)) this.#engine.apply({ type: 'hung_up', by });
  }

  /** Somebody has begun or ceased to watch: the renderer need not find out by its next report. */
  #pace(): void {
    const { job } = this.#store;
    if (job) this.#renderers.pace(job, paceOf(this.#engine, true));
  }

  /** The job, for whoever may see it: one that is deleted is there until it owes nothing more. */
  get #job(): Job | null {
    const { job } = this.#store;
    return job?.deletedAt === undefined ? job : null;
  }

  #hangUp(reason: string): void {
    for (const socket of this.ctx.getWebSockets()) closeBack(socket, 1000, reason);
  }

  #greet(socket: WebSocket, since: number | null): void {
    const job = this.#job;
    if (!job) return;
    const missed = since === null ? [] : this.#store.eventsAfter(since);
    this.#viewers.send(socket, [
      ...missed.map((old) => messageOf(old, 'snapshot')),
      ...greetingOf(asSeenSince(this.#engine.show(job), job, since)),
    ]);
  }

  /** Looks at the job as it is by now; what is applied to it does so by itself. */
  #enter(): void {
    this.#count();
    this.#engine.tick();
  }

  /** One request of the bill. */
  #count(): void {
    this.#store.usage.requests += 1;
  }

  #answer(decision: Decision): Answer<{ job: ExportJob }> {
    if (decision.kind === 'refused') return { ok: false, code: decision.code };
    return { ok: true, body: { job: this.#engine.show(decision.job) } };
  }
}
