import type { ExportJob } from '@export-jobs/protocol';
import type { Usage } from '../job/cost.ts';
import { isHarmfulTwice, isQuestion } from '../job/events.ts';
import type { Effect, Happening } from '../job/events.ts';
import { isEnded } from '../job/job.ts';
import type { Hint, Job } from '../job/job.ts';
import { entryOf, unfold } from '../job/log.ts';
import type { LogEntry } from '../job/log.ts';
import type { Policy } from '../job/policy.ts';
import { lookAt, nextWakeAt, purgeAt } from '../job/schedule.ts';
import { logError } from '../lib/log.ts';
import { ndjson } from '../lib/respond.ts';
import type { OutboxItem } from '../outbox/drain.ts';
import { readKept, writeKept } from './kept.ts';
import { Outbox } from './outbox.ts';

// Responsible for what one object knows: the job, its log, its outbox and its alarm. What belongs
// together is one commit; memory is replaced only after it.

/** More events than this are not replayed: a snapshot says the same in less. */
const REPLAY_LIMIT = 200;
/** The platform may be this late with an alarm, ms; later than that it is taken for lost. */
const ALARM_LATENESS_MS = 60_000;
/**
 * An alarm that is armed anyway may guard a fresh effect though it is this much later, ms: only a crash
 * within milliseconds of the commit ever needs it, and each earlier alarm is a billed row.
 */
export const GUARD_SLACK_MS = 4 * 60_000;

/** What the sockets of renderers remember of a job that the object has forgotten; null if nothing. */
type Recall = (job: Job) => Hint | null;

export class JobStore {
  readonly outbox = new Outbox();
  readonly usage: Usage = { requests: 0, messages: 0, rows: 0 };
  #shown: Usage = { ...this.usage };
  readonly #storage: DurableObjectStorage;
  readonly #recall: Recall;
  #job: Job | null = null;
  #log: readonly LogEntry[] = [];
  /** The view that the last entry led to, from which the next one differs. */
  #logged: ExportJob | null = null;
  #isLoaded = false;
  #forgot = false;
  /** Whether what is written says that something besides the mirror is owed. */
  #isOwingOnDisk = false;
  /** When the alarm will fire; null when none is armed. */
  #armedAt: number | null = null;

  constructor(storage: DurableObjectStorage, recall: Recall) {
    this.#storage = storage;
    this.#recall = recall;
  }

  /** The job, or null when none was initialised. Reads nothing once it is in memory. */
  get job(): Job | null {
    if (!this.#isLoaded) this.#load();
    return this.#job;
  }

  /** Whether reports since the last commit may have been lost with the memory. */
  get forgot(): boolean {
    return this.#forgot;
  }

  /** What of the usage is shown: as of the last change, so that a number always means the same view. */
  get shown(): Usage {
    return this.#shown;
  }

  /** A change is about to be shown, with what was used until now. */
  closeBill(): void {
    this.#shown = { ...this.usage };
  }

  /**
   * Commits a change: the job, its log entry, what it must cause elsewhere and the alarm, or nothing
   * at all. Returns the effects to carry out now; they are born leased, so that the alarm repeats
   * what a crash interrupts.
   */
  commit(
    job: Job,
    { happening, view }: { happening: Happening; view: ExportJob },
    effects: readonly Effect[],
    policy: Policy,
  ) {
    const at = job.updatedAt;
    const owed = effects.filter((effect) => !isQuestion(effect));
    const add = () => this.outbox.add(owed, at);
    // Progress by hand is only a hint that the next report replaces; every change of state is kept.
    const isHint = happening === 'progress' && view.status === this.#lastLogged?.status;
    if (isHint) return this.#saveWith(job, this.#log, policy, at, add);
    const log = [...this.#log, entryOf(this.#lastLogged, view, { at, happening })];
    const fresh = this.#saveWith(job, log, policy, at, add);
    this.#logged = view;
    return fresh;
  }

  /** Commits what is known of the job, without an event. */
  keep(job: Job, policy: Policy, now: number): void {
    this.#saveWith(job, this.#log, policy, now, () => undefined);
  }

  /** Knows more of the job until the memory is lost. */
  note(job: Job): void {
    this.#job = job;
    this.#forgot = false;
  }

  /** Asks for effects without a change of the job; returns those to carry out now. */
  enqueue(effects: readonly Effect[], policy: Policy, now: number) {
    const owed = effects.filter((effect) => !isQuestion(effect));
    const { job } = this;
    if (owed.length === 0 || job === null) return [];
    return this.#saveWith(job, this.#log, policy, now, () => this.outbox.add(owed, now));
  }

  /**
   * Takes every due effect and makes it due again at `until`. That it was taken is written down only of
   * one that must not be taken twice.
   */
  lease(policy: Policy, now: number, until: number): OutboxItem[] {
    const { job } = this;
    const due = job === null ? [] : this.outbox.dueBy(now);
    if (job === null || due.length === 0) return [];
    const take = () => this.outbox.lease(now, until);
    return due.some(isHarmfulTwice) ? this.#saveWith(job, this.#log, policy, now, take) : take();
  }

  /**
   * Forgets an effect, or makes it due at once if it was asked for again. The first time that is written
   * with the next commit: should it be lost before, the effect is carried out once more.
   */
  confirm({ key, version, tries, interrupted }: OutboxItem, policy: Policy, now: number): void {
    const { job } = this;
    if (job === null) return;
    const forget = () => this.outbox.confirm(key, version, now);
    const isLast = isEnded(job) && this.outbox.isOnly(key, version);
    // Nothing is committed after an end, and the sweep looks at who owes anything but the mirror. One that has
    // failed is on disk as due: it would be carried out again whenever the object wakes.
    const isDue = tries > 0 || (isLast ? this.#isOwingOnDisk : interrupted);
    if (isDue) this.#saveWith(job, this.#log, policy, now, forget);
    else forget();
    // Nothing is left to guard: the next alarm is the last one.
    if (isLast && now < purgeAt(job, policy)) this.#arm(purgeAt(job, policy));
  }

  /** Writes down how an effect is to be tried again, or that it was given up on (`due` null). */
  defer(key: string, due: number | null, reason: string, policy: Policy, now: number): void {
    const { job } = this;
    if (job === null) return;
    this.#saveWith(job, this.#log, policy, now, () => this.outbox.defer(key, due, reason));
  }

  /** Learns after a cold start when the alarm will fire, so that one that is armed is not set again. */
  async recallAlarm(): Promise<void> {
    this.#armedAt = await this.#storage.getAlarm();
  }

  /** The alarm has fired: none is armed any more. */
  fired(): void {
    this.#armedAt = null;
  }

  /** Makes sure that an alarm is armed for whatever comes next; not before `earliest`, epoch ms. */
  arm(policy: Policy, now: number, earliest = 0): void {
    const { job } = this;
    if (job) this.#armFor(job, policy, now, earliest);
  }

  /** Arms the alarm anew when the platform has lost it or is very late with it. */
  heal(policy: Policy, now: number): void {
    if (this.#armedAt !== null && this.#armedAt >= now - ALARM_LATENESS_MS) return;
    this.fired();
    this.arm(policy, now);
  }

  /** The logged views after `since` and before the present one, oldest first; none if too many. */
  eventsAfter(since: number): ExportJob[] {
    const { job } = this;
    if (job === null) return [];
    const missed = unfold(this.#log).filter(({ seq }) => seq > since && seq < job.seq);
    return missed.length > REPLAY_LIMIT ? [] : missed.map(({ view }) => view);
  }

  /** The log as it is archived. */
  get log(): readonly LogEntry[] {
    return this.job === null ? [] : this.#log;
  }

  /** Every change of state in order, one line of JSON each: `{seq, at, happening, view}`. */
  logLines(): string {
    return ndjson(unfold(this.log));
  }

  /** When the object should be looked at should its alarm be lost, epoch ms; else null. */
  lookAt(now: number): number | null {
    return this.job && lookAt(this.job, this.outbox.isOwing, now);
  }

  /** Forgets everything, the alarm too; the object then costs nothing. */
  async purge(): Promise<void> {
    await this.#storage.deleteAll();
    this.#job = null;
    this.#log = [];
    this.#logged = null;
    this.#armedAt = null;
  }

  /** Writes all of it, with the change of the outbox that goes with it, in one transaction. */
  #saveWith<T>(
    job: Job,
    log: readonly LogEntry[],
    policy: Policy,
    now: number,
    changeOutbox: () => T,
  ): T {
    const before = this.outbox.rows;
    const armedBefore = this.#armedAt;
    try {
      const result = this.#storage.transactionSync(() => {
        const changed = changeOutbox();
        this.usage.rows += 1;
        const outbox = [...this.outbox.rows];
        const { usage, shown } = this;
        writeKept(this.#storage, { v: 1, job, log: [...log], outbox, usage, shown });
        this.#armFor(job, policy, now);
        return changed;
      });
      this.note(job);
      this.#log = log;
      this.#isOwingOnDisk = this.outbox.isOwing;
      return result;
    } catch (error) {
      this.outbox.restore(before);
      this.#armedAt = armedBefore;
      throw error;
    }
  }

  /**
   * Makes sure that the alarm fires in time. One that is armed earlier stays: it fires, finds nothing
   * due and arms again, which costs less than moving it each time.
   */
  #armFor(job: Job, policy: Policy, now: number, earliest = 0): void {
    const at = nextWakeAt(job, this.outbox.dueAt, policy);
    const latest = nextWakeAt(job, this.outbox.guardedUntil(GUARD_SLACK_MS), policy);
    const armed = this.#armedAt;
    if (at === null || latest === null) return;
    if (armed === null || armed <= now || armed > Math.max(latest, earliest)) {
      this.#arm(Math.max(at, earliest));
    }
  }

  #arm(at: number): void {
    this.usage.rows += 1;
    void this.#storage.setAlarm(at);
    this.#armedAt = at;
  }

  /** A log that cannot be read must not stop its job: the next entry then has the whole view. */
  get #lastLogged(): ExportJob | null {
    try {
      return (this.#logged ??= unfold(this.#log).at(-1)?.view ?? null);
    } catch (error) {
      logError('log', { job: this.#job?.id, error: String(error) });
      return null;
    }
  }

  #load(): void {
    const kept = readKept(this.#storage);
    this.#isLoaded = true;
    if (!kept) return;
    const { requests, messages, rows } = kept.usage;
    this.usage.requests += requests;
    this.usage.messages += messages;
    this.usage.rows += rows;
    this.#shown = kept.shown;
    this.outbox.restore(kept.outbox);
    this.#log = kept.log;
    this.#isOwingOnDisk = this.outbox.isOwing;
    const hint = this.#recall(kept.job);
    this.#job = hint && kept.job.state === 'running' ? { ...kept.job, ...hint } : kept.job;
    this.#forgot = hint === null;
  }
}
