import type { RenderTicket } from '@export-jobs/protocol';
import type { Call } from '../src/lib/calls.ts';
import { isEnded } from '../src/job/job.ts';
import type { Job } from '../src/job/job.ts';
import type { Policy } from '../src/job/policy.ts';
import type { ExportJobState } from '../src/durable-objects/ExportJobState.ts';
import { settingsOf } from '../src/lib/env.ts';
import type { Env } from '../src/lib/env.ts';
import type { Answer } from '../src/lib/types.ts';
import type { Said } from './actors/intruder.ts';
import { Renderer } from './actors/renderer.ts';
import { Clock } from './clock.ts';
import { environments, REQUEST } from './environment.ts';
import { Faults } from './faults.ts';
import type { Outage } from './faults.ts';
import { judge, judgeAlarm } from './judge.ts';
import { Ledger } from './ledger.ts';
import { exchange } from './network.ts';
import { D1 } from './platform/d1.ts';
import { Disk } from './platform/disk.ts';
import { installGlobals } from './platform/globals.ts';
import { ObjectHost } from './platform/object.ts';
import { Provider } from './platform/provider.ts';
import { R2 } from './platform/r2.ts';
import type { Stored } from './platform/r2.ts';
import { Random } from './random.ts';
import type { Violation } from './result.ts';
import type { Cause, Stage } from './stage.ts';

// One world: one job, its object, and everything around it. A seed decides all that happens in it.

const START = 1_750_000_000_000;
const TRACE_LINES = 40;

const disk = new Disk();
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
  readonly request = REQUEST;
  readonly seed: number;
  readonly clock = new Clock(START);
  readonly random: Random;
  readonly faults: Faults;
  readonly env: Env;
  readonly policy: Policy;
  readonly disk = disk;
  readonly host: ObjectHost;
  readonly d1: D1;
  readonly r2: R2;
  readonly provider: Provider;
  readonly ledger: Ledger;
  /** Every call that a renderer ever made. */
  readonly said: Said[] = [];
  readonly renderers: Renderer[] = [];
  /** The job as it was last committed. */
  job: Job | null = null;
  commits = 0;
  endedAt: number | null = null;
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
    disk.clear();
    this.ledger = new Ledger(this);
    this.host = new ObjectHost(this.id, disk, {
      env: this.env,
      stage: this,
      onCommit: () => this.#onCommit(),
      onAlarm: () => this.#onAlarm(),
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
  }

  /** How long the job may live, ms. */
  get jobMs(): number {
    return this.policy.job_ms;
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

  /** Delivers a call of a renderer over the network. */
  say(attempt: number, call: Call, { isDeaf, nonce }: Renderer): Promise<Answer> {
    const said = { attempt, call };
    this.said.push(said);
    return exchange(this, {
      isDeaf,
      call: async () => {
        const answer = await this.hear(said);
        this.note(nonce, call.name, `attempt ${attempt}`, answer.ok ? 'ok' : answer.code);
        return answer;
      },
      onRepeat: (first, second) => {
        // I15: the same answer to the same call.
        if (first.ok && !second.ok) {
          this.violated('I15', `${call.name} is taken, and its repeat is ${second.code}`);
        }
      },
    });
  }

  /** Lets the object hear a call, whoever it comes from. */
  async hear(said: Said): Promise<Answer> {
    const { attempt, call } = said;
    const from = { attempt };
    const isOwner = this.isOwner(said);
    const answer = await this.#heard(said, isOwner, () =>
      this.host.invoke({ kind: 'call', call, from }, (object) => object.call(call, from)),
    );
    if (answer.ok && call.name === 'complete') this.#judgeAcknowledged(call.body.output_video_key);
    return answer;
  }

  /** Notes a report that was taken, also when a crash swallows the answer. */
  async #heard(said: Said, isOwner: boolean, ask: () => Promise<Answer>): Promise<Answer> {
    const { now } = this.clock;
    try {
      const answer = await ask();
      if (answer.ok && isOwner) this.ledger.reported(said, now);
      return answer;
    } catch (error) {
      const { body } = said.call;
      const isTaken =
        this.job?.state === 'running' && 'seq' in body && this.job.reportSeq === body.seq;
      if (isOwner && isTaken) this.ledger.reported(said, now);
      throw error;
    }
  }

  /** Whether a call comes from the present owner of the running attempt. */
  isOwner({ attempt, call }: Said): boolean {
    const { job } = this;
    if (job?.state !== 'running' || !('epoch' in call.body)) return false;
    return attempt === job.attempt && call.body.epoch === job.owner?.epoch;
  }

  /** Stores an output as `routes/renderer-files.ts` does: first the fence, then the bucket. */
  async put(attempt: number, epoch: number, stored: Stored): Promise<Answer> {
    const ms = this.random.skewed(50, 60_000);
    const call = async (): Promise<Answer> => {
      const files = await this.look((object) => object.files({ attempt }, epoch));
      if (!files.ok) return files;
      try {
        const isNew = await this.r2.upload(stored, ms);
        return isNew ? { ok: true, body: {} } : { ok: false, code: 'output_exists' };
      } catch {
        return { ok: false, code: 'storage_unavailable' };
      }
    };
    return await exchange(this, { call });
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

  violated = (invariant: string, detail: string): void => {
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

  /** I7: a file that was acknowledged is the one that the job ended with. */
  #judgeAcknowledged(key: string): void {
    const { job } = this;
    if (job?.state !== 'complete' || job.output.key !== key) {
      this.violated('I7', `${key} is acknowledged, and the job is ${job?.state}`);
    }
  }

  /** After every write: the books, and the job if it has changed. */
  #onCommit(): void {
    if (disk.isEmpty) return this.#onPurge();
    const before = this.job;
    const isChange = disk.written.has('job');
    if (isChange) this.job = readJob();
    if (disk.written.has('outbox')) this.ledger.written();
    disk.written.clear();
    if (isChange && this.job) this.#onChange(before, this.job);
  }

  /** After an alarm was heard, as after every change, the next one must be set. */
  #onAlarm(): void {
    if (this.job && !disk.isEmpty) judgeAlarm(this.job, this.ledger.dueAt, this);
  }

  #onChange(before: Job | null, after: Job): void {
    const { clock } = this;
    const { cause } = this.host;
    this.commits += 1;
    const by = cause?.kind === 'call' ? cause.call.name : (cause?.kind ?? 'an effect');
    this.note(
      'commit',
      after.seq,
      before?.state ?? 'none',
      '→',
      after.state,
      after.attempt,
      'by',
      by,
    );
    this.ledger.owned(after);
    judge({ before, after, cause, now: clock.now }, this);
    this.#onAlarm();
    if (isEnded(after)) this.endedAt ??= clock.now;
  }

  #onPurge(): void {
    this.note('object', 'is purged');
    const { job } = this;
    if (!job || !isEnded(job)) return this.violated('I22', 'a job that has not ended is forgotten');
    if (this.clock.now < job.completedAt + this.policy.retention_ms) {
      this.violated('I22', 'the job is forgotten too early');
    }
    if (!this.ledger.isEmpty) this.violated('I5b', 'effects are forgotten with the job');
  }
}

function readJob(): Job {
  const [row] = disk.rows('SELECT body FROM job');
  const body = String(Reflect.get(Object(row), 'body'));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by the object a moment ago; parsing each would take longer than all the rest
  return JSON.parse(body) as Job;
}
