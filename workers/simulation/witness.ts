import type { Policy } from '../src/job/policy.ts';
import type { Job, JobIn } from '../src/job/job.ts';
import type { Said } from './actors/intruder.ts';
import type { OwnerId } from './stage.ts';

// Responsible for what the owners of attempts really said, and when: the object may forget it in a
// crash, the judge does not.

/** What one owner has said. */
interface Testimony {
  /** When a call last reached the object, which may have died of it, and when one was last taken. */
  arrivedAt: number;
  takenAt: number;
  /** Until when its silence may be borne, and when it may have moved last. */
  patienceEndsAt: number;
  mayHaveMovedAt: number;
  /** Every moment at which a call reached the object. */
  readonly times: Set<number>;
  seq: number;
  /** The highest number that reached the object. */
  newest: number;
  percent: number;
  movedAt: number;
  stage: string;
  stageAt: number;
  /** What reached the object first, taken or not, and when: a crash may have swallowed the answer. */
  readonly firstAt: Map<number | string, number>;
  /** Whether an old report came again, which an object that forgot may believe. */
  isStageDoubtful: boolean;
}

export class Witness {
  readonly #policy: Policy;
  readonly #owners = new Map<string, Testimony>();

  constructor(policy: Policy) {
    this.#policy = policy;
  }

  /** Notes a new owner, who has said nothing but its claim. */
  owned(job: Job): void {
    const owner = ownerOf(job);
    if (job.state !== 'running' || !owner || this.#owners.has(keyOf(owner))) return;
    const at = job.claimedAt;
    this.#owners.set(keyOf(owner), {
      arrivedAt: at,
      takenAt: at,
      patienceEndsAt: at + this.#policy.lease_ms,
      mayHaveMovedAt: at,
      times: new Set([at]),
      seq: 0,
      newest: 0,
      percent: 0,
      movedAt: at,
      stage: 'starting',
      stageAt: at,
      firstAt: new Map(),
      isStageDoubtful: false,
    });
  }

  /** A call of the present owner has reached the object. */
  arrived(said: Said, now: number): void {
    const { attempt, call, bySocket } = said;
    const heard = this.#of({ attempt, epoch: epochIn(call) });
    if (!heard) return;
    const { lease_ms, connected_ms } = this.#policy;
    const patience = bySocket ? Math.max(lease_ms, connected_ms) : lease_ms;
    heard.arrivedAt = now;
    heard.patienceEndsAt = Math.max(heard.patienceEndsAt, now + patience);
    heard.times.add(now);
    const { seq, stage, percent } = reportIn(said);
    if (Number.isFinite(seq)) heard.newest = Math.max(heard.newest, seq);
    for (const what of [stage, percent, `number ${seq}`]) {
      if (!heard.firstAt.has(what)) heard.firstAt.set(what, now);
    }
    const isMove = stage !== heard.stage || percent > heard.percent || call.name !== 'progress';
    if (isMove) heard.mayHaveMovedAt = now;
  }

  /** It was taken, at that time. */
  taken(said: Said, at: number): void {
    const { attempt, call } = said;
    const heard = this.#of({ attempt, epoch: epochIn(call) });
    if (!heard) return;
    const report = reportIn(said);
    // One that was overtaken is acknowledged and ignored, whether the newer one was answered or not.
    if (report.seq <= Math.max(heard.seq, heard.newest - 1) && call.name === 'progress') {
      heard.isStageDoubtful = true;
      return;
    }
    heard.seq = report.seq;
    heard.takenAt = Math.max(heard.takenAt, heard.firstAt.get(`number ${report.seq}`) ?? at);
    const stageAt = heard.firstAt.get(report.stage) ?? at;
    if (report.stage !== heard.stage) {
      [heard.stage, heard.stageAt, heard.movedAt] = [report.stage, stageAt, stageAt];
    }
    if (call.name !== 'progress') heard.movedAt = at;
    if (report.percent <= heard.percent) return;
    heard.percent = report.percent;
    heard.movedAt = heard.firstAt.get(report.percent) ?? at;
  }

  /** The object knows that this owner's socket is gone. */
  hungUp(owner: OwnerId): void {
    const heard = this.#of(owner);
    if (heard) heard.patienceEndsAt = heard.arrivedAt + this.#policy.lease_ms;
  }

  /** How long nothing that this owner said was taken, ms. */
  silentFor(job: JobIn<'running'>, now: number): number {
    return now - (this.#ofJob(job)?.takenAt ?? job.claimedAt);
  }

  /** How long its own numbers have stood still, ms. */
  stillFor(job: JobIn<'running'>, now: number): number {
    return now - (this.#ofJob(job)?.movedAt ?? job.claimedAt);
  }

  /** How long it has been in a stage that must end, ms; 0 while it renders. */
  stuckFor(job: JobIn<'running'>, now: number): number {
    const heard = this.#ofJob(job);
    if (!heard) return now - job.claimedAt;
    if (heard.stage === 'rendering' && !heard.isStageDoubtful) return 0;
    return now - heard.stageAt;
  }

  /** Whether the owner was heard at that very moment, and has said as much. */
  confirms(job: JobIn<'running'>): boolean {
    const heard = this.#ofJob(job);
    return heard === undefined || heard.times.has(job.heartbeatAt);
  }

  /** Until when the silence of a running attempt may be borne, epoch ms. */
  patienceEndsAt(job: JobIn<'running'>): number {
    const until = this.#ofJob(job)?.patienceEndsAt ?? job.leaseUntil;
    return Math.max(until, (job.quietSince ?? 0) + this.#policy.lease_ms);
  }

  /** Until when a running attempt may stand still, and in its stage, epoch ms. */
  movementEndsAt(job: JobIn<'running'>): number {
    const heard = this.#ofJob(job);
    const { stall_ms, stage_ms } = this.#policy;
    const moved = Math.max(heard?.mayHaveMovedAt ?? 0, job.quietSince ?? 0);
    const from = Math.max(moved, job.movedAt);
    const stageFrom = Math.max(moved, job.stageAt);
    const isBounded = job.stage !== 'rendering' && heard?.stage !== 'rendering';
    return Math.min(from + stall_ms, isBounded ? stageFrom + stage_ms : Infinity);
  }

  #ofJob(job: Job): Testimony | undefined {
    const owner = ownerOf(job);
    return owner ? this.#of(owner) : undefined;
  }

  #of(owner: OwnerId): Testimony | undefined {
    return this.#owners.get(keyOf(owner));
  }
}

/** Who owns the running attempt, or null. */
export function ownerOf(job: Job | null): OwnerId | null {
  if (job?.state !== 'running' || !job.owner) return null;
  return { attempt: job.attempt, epoch: job.owner.epoch };
}

export function keyOf({ attempt, epoch }: OwnerId): string {
  return `${attempt}.${epoch}`;
}

/** The epoch that a call names; 0 when it names none. */
export function epochIn({ body }: Said['call']): number {
  return 'epoch' in body ? (body.epoch ?? 0) : 0;
}

/** A last word is the newest thing that its renderer has said. */
function reportIn({ call }: Said): { seq: number; percent: number; stage: string } {
  if (call.name !== 'progress') return { seq: Infinity, percent: 0, stage: 'verifying' };
  const { seq = 0, progress, stage = 'rendering' } = call.body;
  return { seq, percent: progress, stage };
}
