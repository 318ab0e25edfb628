import type { RenderTicket } from '@export-jobs/protocol';
import { isEnded } from '../src/job/job.ts';
import type { Job, JobRequest } from '../src/job/job.ts';
import type { Policy } from '../src/job/policy.ts';
import type { ExportJobState } from '../src/durable-objects/ExportJobState.ts';
import { settingsOf } from '../src/lib/env.ts';
import type { Env } from '../src/lib/env.ts';
import type { Answer } from '../src/lib/types.ts';
import type { Said } from './actors/intruder.ts';
import { Renderer } from './actors/renderer.ts';
import { Clock } from './clock.ts';
import { deadlineOf } from './deadlines.ts';
import { environments, REQUEST } from './environment.ts';
import { Faults } from './faults.ts';
import type { Outage } from './faults.ts';
import { isOutdated, judge, judgeAlarm } from './judge.ts';
import { keptOn } from './kept.ts';
import type { Kept } from './kept.ts';
import { Ledger } from './ledger.ts';
import { D1 } from './platform/d1.ts';
import { Disk } from './platform/disk.ts';
import { installGlobals } from './platform/globals.ts';
import { ObjectHost } from './platform/object.ts';
import { Provider } from './platform/provider.ts';
import { R2 } from './platform/r2.ts';
import { Purse } from './purse.ts';
import { Random } from './random.ts';
import type { Violation } from './result.ts';
import type { Cause, Stage } from './stage.ts';
import { Switchboard } from './switchboard.ts';
import { ownerOf, Witness } from './witness.ts';

// One world: one job, its object, and everything around it. A seed decides all that happens in it.

const START = 1_750_000_000_000;
const TRACE_LINES = 40;

let present: World | null = null;
const theWorld = (): World => {
  if (!present) throw new Error('there is no world');
  return present;
};
const enter = (world: World): void => {
  present = world;
};
installGlobals(theWorld);
const ENVIRONMENTS = environments(theWorld);

export interface WorldOptions {
  /** Keeps every line of what happens. */
  readonly trace?: boolean;
  /** Nothing goes wrong but this, for an hour. */
  readonly outage?: Outage | null;
}

export class World implements Stage {
  readonly id = 'job_1';
  readonly request: JobRequest;
  readonly seed: number;
  readonly clock = new Clock(START);
  readonly random: Random;
  readonly faults: Faults;
  readonly env: Env;
  readonly policy: Policy;
  readonly disk = new Disk();
  readonly host: ObjectHost;
  readonly d1: D1;
  readonly r2: R2;
  readonly provider: Provider;
  readonly ledger: Ledger;
  readonly witness: Witness;
  readonly purse = new Purse();
  readonly switchboard: Switchboard;
  readonly renderers: Renderer[] = [];
  /** The job as it was last committed. */
  job: Job | null = null;
  commits = 0;
  endedAt: number | null = null;
  /** How often the object has lost its memory. */
  forgettings = 0;
  /** Whether reports since the last commit may be forgotten, and no socket remembers them. */
  mayDoubt = false;
  /** When a sweep last failed. */
  sweepFailedAt = 0;
  /** Whether all that could happen has happened. */
  isSettled = false;
  violation: Violation | null = null;
  readonly #lines: (readonly unknown[])[] = [];
  readonly #keepAll: boolean;

  constructor(seed: number, { trace = false, outage = null }: WorldOptions = {}) {
    enter(this);
    this.seed = seed;
    this.#keepAll = trace;
    this.random = new Random(seed);
    this.faults = new Faults(this.clock, this.random, outage);
    const [first, ...others] = ENVIRONMENTS;
    if (!first) throw new Error('there is no environment');
    // An hour is longer than the shorter limits let any job live.
    this.env = outage ? first : this.random.pick([first, ...others]);
    this.policy = settingsOf(this.env).POLICY;
    const isCapped = !outage && this.random.chance(0.25);
    this.request = isCapped
      ? { ...REQUEST, maxDollars: this.random.skewed(50, 900) / 1000 }
      : REQUEST;
    this.ledger = new Ledger(this);
    this.witness = new Witness(this.policy);
    this.host = new ObjectHost(this.id, this.disk, {
      env: this.env,
      stage: this,
      onCommit: () => this.#onCommit(),
      onTurn: () => this.#onTurn(),
      onAlarm: () => this.#onAlarm(),
      onText: (socket, text) => this.switchboard.onText(socket, text),
      onClosed: (socket) => {
        this.switchboard.onClosed(socket);
        // What the platform has lost a moment ago is still believed in.
        if (this.host.isAlarmSafe) this.#onAlarm();
      },
      onForgotten: (how) => this.#onForgotten(how),
    });
    this.d1 = new D1(this, () => this.ledger.mirrored());
    this.r2 = new R2(this);
    this.provider = new Provider(this, {
      deliver: (remoteId, ticket) => this.#deliver(remoteId, ticket),
      onHandOver: (ticket) => this.ledger.handedOver(ticket),
      onRefusal: () => this.ledger.notTaken(),
      hint: (attempt, remoteId) =>
        this.host.invoke({ kind: 'hint' }, (object) => object.hint(attempt, remoteId)),
    });
    this.switchboard = new Switchboard(this);
  }

  /** The object as the sweep calls it. */
  get stub() {
    type Create = Parameters<ExportJobState['create']>;
    return {
      create: (...args: Create) =>
        this.#soon(() => this.host.invoke({ kind: 'create' }, (object) => object.create(...args))),
      wake: () => this.#soon(() => this.host.invoke({ kind: 'look' }, (object) => object.wake())),
    };
  }

  /** Calls the object directly. */
  invoke<T>(cause: Cause, entrance: (object: ExportJobState) => T | Promise<T>): Promise<T> {
    return this.host.invoke(cause, entrance);
  }

  /** Looks at the object without changing it. */
  look<T>(entrance: (object: ExportJobState) => T | Promise<T>): Promise<T> {
    return this.host.invoke({ kind: 'look' }, entrance);
  }

  get said(): readonly Said[] {
    return this.switchboard.said;
  }

  hear(said: Said): Promise<Answer> {
    return this.switchboard.hear(said);
  }

  isOwner(...call: Parameters<Switchboard['isOwner']>): boolean {
    return this.switchboard.isOwner(...call);
  }

  /** A process has ended. */
  onStop(renderer: Renderer): void {
    this.note(renderer.nonce, 'ends');
    this.ledger.stopped(renderer);
    this.provider.ended(renderer.remoteId);
  }

  note(...words: readonly unknown[]): void {
    this.#lines.push([this.clock.now, ...words]);
    if (!this.#keepAll && this.#lines.length > 4 * TRACE_LINES) this.#lines.splice(0, TRACE_LINES);
  }

  sweepFailed(): void {
    this.sweepFailedAt = this.clock.now;
  }

  violated = (invariant: string, detail: string): void => {
    if (!this.violation) this.note('breaks', invariant);
    this.violation ??= { seed: this.seed, invariant, detail, trace: this.trace() };
  };

  /** What happened, the last of it unless all is kept; times since the start. */
  trace(): string[] {
    const lines = this.#keepAll ? this.#lines : this.#lines.slice(-TRACE_LINES);
    return lines.map(([at, ...words]) => {
      const seconds = ((Number(at) - START) / 1000).toFixed(3);
      return `${seconds.padStart(12)} s  ${words.map(String).join(' ')}`;
    });
  }

  async #soon<T>(call: () => Promise<T>): Promise<T> {
    await this.clock.sleep(this.random.int(1, 30));
    return await call();
  }

  #deliver(remoteId: string, ticket: RenderTicket): Renderer {
    const renderer = new Renderer(this, remoteId, ticket, this.renderers.length + 1);
    this.renderers.push(renderer);
    this.note('provider', 'delivers', remoteId, 'to', renderer.nonce);
    return renderer;
  }

  /** After every write: the books, and the job if it is another one. */
  #onCommit(): void {
    const kept = keptOn(this.disk);
    if (!kept) return this.#onPurge();
    const before = this.job;
    this.job = kept.job;
    this.ledger.written(kept.outbox);
    if (JSON.stringify(before) === JSON.stringify(kept.job)) return this.#onAlarm();
    this.#onChange(before, kept);
  }

  #onTurn(): void {
    this.ledger.settled();
    this.switchboard.settled();
  }

  #onForgotten(how: 'crash' | 'sleep'): void {
    this.forgettings += 1;
    if (how === 'crash' || !this.switchboard.isConnected(ownerOf(this.job))) this.mayDoubt = true;
  }

  /** After an alarm was heard, as after every write, the next one must be set. */
  #onAlarm(): void {
    if (this.job && !this.disk.isEmpty) judgeAlarm(this.job, this);
  }

  #onChange(before: Job | null, { job: after, log }: Kept): void {
    const { now } = this.clock;
    const { cause } = this.host;
    const deadline = before ? deadlineOf(before, this) : Infinity;
    this.commits += 1;
    const by = cause?.kind === 'call' ? cause.call.name : (cause?.kind ?? 'an effect');
    const from = before?.state ?? 'none';
    this.note('commit', after.seq, from, '→', after.state, after.attempt, 'by', by);
    this.witness.owned(after);
    this.ledger.owned(after);
    if (isOutdated(before, after)) this.ledger.outdated(after.seq);
    const logged = log.map(({ seq }) => seq);
    const change = { before, after, cause, now, deadline, logged };
    this.purse.changed(after, now);
    judge(change, this);
    this.mayDoubt = false;
    this.#onAlarm();
    if (isEnded(after)) this.endedAt ??= now;
  }

  #onPurge(): void {
    this.note('object', 'is purged');
    const { job } = this;
    if (!job || !isEnded(job)) return this.violated('I22', 'a job that has not ended is forgotten');
    if (this.clock.now < job.completedAt + this.policy.retention_ms) {
      this.violated('I22', 'the job is forgotten too early');
    }
    if (this.ledger.undone.length > 0) this.violated('I5b', 'effects are forgotten with the job');
  }
}
