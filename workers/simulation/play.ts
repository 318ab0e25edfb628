import * as v from 'valibot';
import { isEnded } from '../src/job/job.ts';
import type { Job } from '../src/job/job.ts';
import { echo } from './actors/intruder.ts';
import { Owner } from './actors/people.ts';
import { Viewer } from './actors/viewer.ts';
import { SWEEP_MS } from './environment.ts';
import { LOOK_MS } from './judge.ts';
import { changeOf } from './kept.ts';
import { emptySummary } from './result.ts';
import type { Summary } from './result.ts';
import { keepSweeping } from './sweeps.ts';
import { World } from './world.ts';
import type { WorldOptions } from './world.ts';

// Responsible for letting a world run its course, and for what must be true at its end.

/** No world needs more steps: more is a livelock. */
const MAX_STEPS = 50_000;
/** How long an effect that failed waits for its next try, and takes then, at the most, ms. */
const RETRY_MS = 2 * 60_000;
/** Within this all must be settled once nothing goes wrong any more and the job has ended, ms. */
const SETTLE_MS = LOOK_MS + SWEEP_MS + RETRY_MS;
/** An object that lost its last alarm is forgotten so soon after a touch, ms. */
const TOUCH_MS = 2 * 60_000;

// The platform's types know nothing of Node's `process`.
const { nextTick } = v.parse(v.object({ nextTick: v.function() }), process);

interface Play {
  readonly world: World;
  readonly owner: Owner;
  readonly viewers: readonly Viewer[];
  isEchoing: boolean;
  steps: number;
  /** Since when the job has ended and all that it owes is done. */
  convergedAt: number | null;
}

/** Runs the world of a seed to its end and says what happened. */
export async function play(
  seed: number,
  options?: WorldOptions,
): Promise<Summary & { trace: string[] }> {
  // From here on everything runs between ticks, wherever the caller stands.
  await drained();
  const world = new World(seed, options);
  const startedAt = world.clock.now;
  const owner = new Owner(world);
  const viewers = Array.from({ length: world.random.int(0, 2) }, () => new Viewer(world));
  const play: Play = { world, owner, viewers, isEchoing: true, steps: 0, convergedAt: null };
  void echo(world).then(() => (play.isEchoing = false));
  haunt(world);
  keepSweeping(world);
  const limit = Math.max(world.faults.endAt, startedAt + world.policy.job_ms) + 2 * 3_600_000;
  await until(play, limit, () => isSettled(play));
  world.isSettled = true;
  const simulatedMs = world.clock.now - startedAt;
  if (!world.violation) judgeEnd(play);
  const settledMs = (play.convergedAt ?? 0) - Math.max(world.faults.endAt, world.endedAt ?? 0);
  if (!world.violation && world.job) await forget(play);
  return {
    ...emptySummary(),
    worlds: 1,
    simulatedMs,
    settledMs: Math.max(0, settledMs),
    commits: world.commits,
    crashes: world.host.crashes,
    steps: play.steps,
    faults: Object.fromEntries(world.faults.counts),
    ends: { [endOf(world)]: 1 },
    violations: world.violation ? [world.violation] : [],
    trace: world.trace(),
  };
}

/** Lets things happen, and what follows from each, until a condition holds or a limit is reached. */
async function until(play: Play, limit: number, isDone: () => boolean): Promise<void> {
  const { world } = play;
  while (!world.violation && !isDone()) {
    if (!world.clock.step(limit)) return;
    await drained();
    play.steps += 1;
    if (play.steps > MAX_STEPS) world.violated('I8', 'nothing comes to an end');
  }
}

/** Resolves when every promise that could go on has gone on. */
function drained(): Promise<void> {
  return new Promise((resolve) => void nextTick(resolve));
}

/** Whether nothing can happen any more but by time. */
function isSettled(play: Play): boolean {
  const { world, owner, viewers, isEchoing } = play;
  if (!hasConverged(world)) play.convergedAt = null;
  else play.convergedAt ??= world.clock.now;
  if (!owner.isDone || isEchoing || !world.faults.over) return false;
  if (!world.job) return world.d1.rowOf(world.id) === null;
  if (play.convergedAt === null || viewers.some(({ end }) => end === null)) return false;
  return world.renderers.every(({ isOver }) => isOver);
}

/** Whether the job has ended, and the rest of the world knows. */
function hasConverged({ job, ledger, d1, id }: World): boolean {
  if (!job || !isEnded(job)) return false;
  return changeOf(d1.rowOf(id)?.rev ?? 0) === changeOf(job.seq) && ledger.undone.length === 0;
}

/** I5, I7, I8: what must hold when nothing goes wrong any more. */
function judgeEnd(play: Play): void {
  const { world, owner } = play;
  const { job, faults, clock } = world;
  if (!isSettled(play)) return world.violated('I8', `not settled: ${unsettled(play)}`);
  if (!job) {
    if (owner.isAcknowledged) world.violated('I7', 'the job was acknowledged and is not there');
    return;
  }
  const quietAt = Math.max(faults.endAt, world.endedAt ?? 0);
  if ((play.convergedAt ?? clock.now) > quietAt + SETTLE_MS) {
    world.violated('I8', 'it took too long until all was settled');
  }
  if (owner.hasCancelled && job.state !== 'cancelled') {
    world.violated('I7', 'an acknowledged cancel did not last');
  }
  judgeViewers(play, job);
}

function judgeViewers({ world, viewers }: Play, job: Job): void {
  const seen = { complete: 'complete', failed: 'error', cancelled: 'status' } as const;
  const wanted = isEnded(job) ? seen[job.state] : null;
  if (viewers.some(({ end, seq }) => end !== wanted || seq !== job.seq)) {
    world.violated('I4', 'a viewer did not see the end');
  }
}

function unsettled({ world, owner, viewers, isEchoing }: Play): string {
  const { job, renderers, ledger, d1 } = world;
  return JSON.stringify({
    state: job?.state,
    seq: job?.seq,
    rev: d1.rowOf(world.id)?.rev,
    undone: ledger.undone.map(({ key }) => key),
    alarm: world.disk.alarm === null ? null : world.disk.alarm - world.clock.now,
    renderers: renderers.filter(({ isOver }) => !isOver).map(({ nonce }) => nonce),
    viewers: viewers.map(({ end }) => end),
    owner: owner.isDone,
    isEchoing,
  });
}

/** I22: after the retention time the object forgets all, and late calls do not bring it back. */
async function forget(play: Play): Promise<void> {
  const { world } = play;
  const { clock, policy, disk, r2, job } = world;
  const limit = clock.now + policy.retention_ms + 3_600_000;
  // Time goes on though nothing else may happen in it.
  clock.at(limit, () => undefined);
  await until(play, limit, () => disk.isEmpty);
  if (!disk.isEmpty && world.host.hasLostAlarm) {
    // It is forgotten when somebody comes across it.
    clock.after(1, () => void world.look((object) => object.view(null)));
    await until(play, clock.now + TOUCH_MS, () => disk.isEmpty);
  }
  if (world.violation) return;
  if (!disk.isEmpty) return world.violated('I22', 'the object is not forgotten');
  const leftovers = [...r2.objects.keys()].filter((key) => key.startsWith('out/'));
  const wanted = job?.state === 'complete' ? [job.output.key] : [];
  if (leftovers.join() !== wanted.join()) {
    return world.violated('I22', `files are left: ${leftovers.join(', ')}`);
  }
  const [said] = world.said;
  if (!said) return;
  const answer = await world.hear(said);
  if (answer.ok || answer.code !== 'job_finished' || !disk.isEmpty) {
    world.violated('I22', 'a late call brings the job back');
  }
}

/** Kills and evicts the object at random moments. */
function haunt(world: World): void {
  const { clock, random, faults, host } = world;
  const strike = () => {
    if (faults.over) return;
    if (faults.strikes('process killed', 0.5)) host.kill();
    else if (faults.strikes('evicted', 0.5)) host.evict();
    clock.after(random.skewed(1000, 600_000), strike);
  };
  if (faults.isOn('process killed') || faults.isOn('evicted')) clock.after(1, strike);
}

function endOf({ job }: World): string {
  if (!job) return 'never made';
  return job.state === 'failed' ? `failed: ${job.failure.code}` : job.state;
}
