import type { RenderTicket } from '@export-jobs/protocol';
import { isEnded } from '../src/job/job.ts';
import type { Job } from '../src/job/job.ts';
import type { Renderer } from './actors/renderer.ts';
import type { Evidence } from './judge.ts';
import { changeOf } from './kept.ts';
import type { Owed } from './kept.ts';
import { ROUNDING_MS } from './purse.ts';
import { keyOf, ownerOf } from './witness.ts';

/** A process that lost its attempt may work on for this long beyond its lease, ms. */
const GRACE_MS = 30_000;
/** So much later than it is due may the alarm be that guards a fresh effect, ms. */
const GUARD_MS = 4 * 60_000;

/** What is being carried out is looked at again after this, ms. */
const CARRYING_MS = 20_000;

/** What the ledger needs to know. */
export interface Books extends Evidence {
  readonly id: string;
  readonly job: Job | null;
}

/**
 * Keeps the books of what the object owes the rest of the world: an effect may only be forgotten when
 * it has come about, and nobody may work for an attempt that is no more.
 */
export class Ledger {
  readonly #world: Books;
  #rows: readonly Owed[] = [];
  /** The keys of the turn before. */
  #settled: ReadonlySet<string> = new Set();
  /** The number that D1 must have reached when the mirror is forgotten. */
  #mirrorSeq = 0;
  #mirroredRev = 0;
  /** Since when the owner of `attempt.epoch` is no longer that. */
  readonly #lostAt = new Map<string, number>();
  #owner: string | null = null;
  #handedOver: { readonly attempt: number; readonly at: number } | null = null;

  constructor(world: Books) {
    this.#world = world;
  }

  /** What is on disk as owed, and has not come about. What has may stay there until the next commit. */
  get undone(): readonly Owed[] {
    return this.#rows.filter(({ key }) => !this.#cameAbout(key));
  }

  /** When the alarm must fire for the effects at the latest; null when it need not. */
  get dueAt(): number | null {
    return this.#earliest(this.undone);
  }

  /** When it may fire for what the object believes to owe, be it done or not; null when that is nothing. */
  get believedDueAt(): number | null {
    return this.#earliest(this.#rows);
  }

  owes(key: string): boolean {
    return this.#rows.some((row) => row.key === key);
  }

  /** Looks at the outbox after every write. */
  written(rows: readonly Owed[]): void {
    this.#rows = rows;
  }

  /** What D1 shows is no longer so: it must hear of it. */
  outdated(seq: number): void {
    this.#mirrorSeq = seq;
  }

  /** I5b: what is gone at the end of a turn must have come about. */
  settled(): void {
    const kept = new Set(this.#rows.map(({ key }) => key));
    for (const key of this.#settled) if (!kept.has(key)) this.#forgotten(key);
    this.#settled = kept;
  }

  /** I5: D1 never goes back, speaks of changes alone, and shows a job from its intent on. */
  mirrored(): void {
    const { d1, id, job } = this.#world;
    const row = d1.rowOf(id);
    if (!row) return;
    const { rev } = row;
    const say = (detail: string) => this.#world.violated('I5', detail);
    if (rev < this.#mirroredRev) say(`D1 falls from ${this.#mirroredRev} to ${rev}`);
    if (rev % 1000 !== 0) say(`D1 has number ${rev}, which is of no change`);
    if (row.shown !== row.status || row.attempt === null) {
      say(`D1 shows ${row.shown}, the row is ${row.status}`);
    }
    if (job && isEnded(job) && changeOf(rev) === changeOf(job.seq) && row.logged !== rev) {
      say(`the log in D1 ends with ${row.logged}, the job with ${rev}`);
    }
    this.#mirroredRev = rev;
  }

  /** I14: a hand-over leaves only for the attempt that waits for it, and while it can be paid. */
  handedOver({ attempt }: RenderTicket): void {
    const { job, clock, policy, purse } = this.#world;
    if (job?.state !== 'dispatching' || job.attempt !== attempt) {
      this.#world.violated('I14', `attempt ${attempt} is handed over while ${job?.state}`);
    }
    if (job && purse.left(job, clock.now) < -ROUNDING_MS) {
      this.#world.violated('spend cap', `attempt ${attempt} is handed over with nothing left`);
    }
    const waited = clock.now - (this.#handedOver?.at ?? 0);
    if (this.#handedOver?.attempt === attempt && waited < policy.unknown_ms) {
      this.#world.violated('I14b', `attempt ${attempt} is handed over again after ${waited} ms`);
    }
    this.#handedOver = { attempt, at: clock.now };
  }

  /** The last hand-over was refused, so that nobody has it. */
  notTaken(): void {
    this.#handedOver = null;
  }

  /** Notes who owns the attempt now. */
  owned(job: Job): void {
    const present = ownerOf(job);
    const owner = present && keyOf(present);
    if (this.#owner !== null && this.#owner !== owner) {
      this.#lostAt.set(this.#owner, this.#world.clock.now);
    }
    this.#owner = owner;
  }

  /** I11: a process whose attempt is lost learns of it, or stops by itself. */
  stopped({ attempt, epoch, pausedMs }: Renderer): void {
    const { clock, policy } = this.#world;
    const lostAt = this.#lostAt.get(keyOf({ attempt, epoch }));
    if (lostAt === undefined) return;
    const worked = clock.now - lostAt - pausedMs;
    if (worked > policy.lease_ms + GRACE_MS) {
      this.#world.violated('I11', `a renderer works ${worked} ms for a lost attempt`);
    }
  }

  /** An effect has left the outbox: it must have come about. */
  #forgotten(key: string): void {
    if (!this.#cameAbout(key)) this.#world.violated('I5b', `${key} is forgotten undone`);
  }

  #cameAbout(key: string): boolean {
    const { job, d1, id, provider } = this.#world;
    const [kind = '', of = ''] = key.split(/:(.*)/s);
    switch (kind) {
      case 'mirror':
        return changeOf(d1.rowOf(id)?.rev ?? 0) >= changeOf(this.#mirrorSeq);
      case 'stop':
        return !provider.isActive(of);
      case 'dispatch':
        return job?.state !== 'dispatching' || `${job.attempt}` !== of;
      case 'discard':
        return this.#isTidy(job);
      default:
        return true;
    }
  }

  /** Whether nothing is left but the output; what lands after the end is for the purge. */
  #isTidy(job: Job | null): boolean {
    if (!job || !isEnded(job)) return true;
    const output = job.state === 'complete' ? job.output.key : null;
    return this.#world.r2.leftSince(job.completedAt, output).length === 0;
  }

  /** When the first of these must be seen to, a fresh one later than the others; null for never. */
  #earliest(rows: readonly Owed[]): number | null {
    const { now } = this.#world.clock;
    const times = rows.flatMap(({ due, tries, running }) => {
      if (due === null) return [];
      const guarded = due + (tries === 0 && running ? GUARD_MS : 0);
      // What is overdue may be on its way, which is not written down.
      return guarded <= now ? now + CARRYING_MS : guarded;
    });
    return times.length === 0 ? null : Math.min(...times);
  }
}
