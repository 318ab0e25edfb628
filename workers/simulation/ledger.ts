import type { RenderTicket } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Said } from './actors/intruder.ts';
import type { Renderer } from './actors/renderer.ts';
import type { Job } from '../src/job/job.ts';
import type { Evidence } from './judge.ts';

/** A process that lost its attempt may work on for this long beyond its lease, ms. */
const GRACE_MS = 30_000;

const Rows = v.array(
  v.object({ key: v.string(), version: v.number(), due_at: v.nullable(v.number()) }),
);

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
  /** When the outbox wants to be drained; null when there is nothing in it. */
  dueAt: number | null = null;
  readonly #world: Books;
  #rows = new Map<string, number>();
  /** The number that D1 must have reached when the mirror is forgotten. */
  #mirrorSeq = 0;
  #mirroredRev = 0;
  /** Since when the owner of `attempt.epoch` is no longer that. */
  readonly #lostAt = new Map<string, number>();
  #owner: string | null = null;
  readonly #moves = new Map<string, { readonly percent: number; readonly at: number }>();
  #handedOver: { readonly attempt: number; readonly at: number } | null = null;

  constructor(world: Books) {
    this.#world = world;
  }

  get keys(): string[] {
    return [...this.#rows.keys()];
  }

  get isEmpty(): boolean {
    return this.#rows.size === 0;
  }

  /** I5b: looks at the outbox after every write. */
  written(): void {
    const { job, disk } = this.#world;
    const rows = new Map<string, number>();
    this.dueAt = null;
    for (const row of v.parse(Rows, disk.rows('SELECT key, version, due_at FROM outbox'))) {
      rows.set(row.key, row.version);
      if (row.due_at !== null) this.dueAt = Math.min(this.dueAt ?? row.due_at, row.due_at);
    }
    const mirror = rows.get('mirror');
    if (mirror !== undefined && mirror !== this.#rows.get('mirror')) {
      this.#mirrorSeq = job?.seq ?? 0;
    }
    for (const key of this.#rows.keys()) if (!rows.has(key)) this.#forgotten(key);
    this.#rows = rows;
  }

  /** I5: D1 never goes back. */
  mirrored(): void {
    const rev = this.#world.d1.rowOf(this.#world.id)?.rev ?? 0;
    if (rev < this.#mirroredRev) {
      this.#world.violated('I5', `D1 falls from ${this.#mirroredRev} to ${rev}`);
    }
    this.#mirroredRev = rev;
  }

  /** I14: a hand-over leaves only for the attempt that waits for it. */
  handedOver({ attempt }: RenderTicket): void {
    const { job } = this.#world;
    if (job?.state !== 'dispatching' || job.attempt !== attempt) {
      this.#world.violated('I14', `attempt ${attempt} is handed over while ${job?.state}`);
    }
    const { clock, policy } = this.#world;
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
    const owner = job.state === 'running' && job.owner ? `${job.attempt}.${job.owner.epoch}` : null;
    if (this.#owner !== null && this.#owner !== owner) {
      this.#lostAt.set(this.#owner, this.#world.clock.now);
    }
    this.#owner = owner;
  }

  /** A report of the owner was taken. */
  reported({ attempt, call }: Said, at: number): void {
    if (call.name !== 'progress') return;
    const key = `${attempt}.${call.body.epoch}`;
    const last = this.#moves.get(key);
    if (last && call.body.progress <= last.percent) return;
    this.#moves.set(key, { percent: call.body.progress, at });
  }

  /** When the percent of `attempt.epoch` last grew, as its renderer itself reported it. */
  movedAt(owner: string): number {
    return this.#moves.get(owner)?.at ?? 0;
  }

  /** I11: a process whose attempt is lost learns of it, or stops by itself. */
  stopped({ attempt, epoch, pausedMs }: Renderer): void {
    const { clock, policy } = this.#world;
    const lostAt = this.#lostAt.get(`${attempt}.${epoch}`);
    if (lostAt === undefined) return;
    const worked = clock.now - lostAt - pausedMs;
    if (worked > policy.lease_ms + GRACE_MS) {
      this.#world.violated('I11', `a renderer works ${worked} ms for a lost attempt`);
    }
  }

  /** An effect has left the outbox: it must have come about. */
  #forgotten(key: string): void {
    const [kind = '', of = ''] = key.split(/:(.*)/s);
    if (!this.#cameAbout(kind, of)) this.#world.violated('I5b', `${key} is forgotten undone`);
  }

  #cameAbout(kind: string, of: string): boolean {
    const { job, d1, id, provider } = this.#world;
    switch (kind) {
      case 'mirror':
        return (d1.rowOf(id)?.rev ?? 0) >= this.#mirrorSeq;
      case 'stop':
        return !provider.isActive(of);
      case 'dispatch':
        return job?.state !== 'dispatching' || `${job.attempt}` !== of;
      default:
        return true;
    }
  }
}
