import { sweep } from '../src/sweep.ts';
import { SKIPS, SWEEP_MS } from './environment.ts';
import { Dead } from './stage.ts';
import type { World } from './world.ts';

/** An ended job that all is done for is looked at so often at the most. */
const LOOKS = 20;

/** The cron trigger, with the real sweep; the sweeps that have nothing to do are left out. */
export function keepSweeping(world: World): void {
  const { clock, faults, d1, id } = world;
  let [skipped, looks] = [0, 0];
  const tick = () => {
    const row = d1.rowOf(id);
    const lookAt = row?.look_at ?? Number.POSITIVE_INFINITY;
    if (world.isSettled && lookAt === Number.POSITIVE_INFINITY) return;
    clock.at(Math.max(clock.now + SWEEP_MS, world.isSettled ? lookAt + 1 : 0), tick);
    if (lookAt >= clock.now) return;
    if (skipped < SKIPS && faults.strikes('sweep skipped', 0.3)) return void (skipped += 1);
    skipped = 0;
    if (world.isSettled) looks += 1;
    if (looks > LOOKS) world.violated('I8', 'the sweep never lets go of an ended job');
    void sweepOnce(world);
  };
  clock.after(world.random.int(0, SWEEP_MS), tick);
}

async function sweepOnce(world: World): Promise<void> {
  try {
    await sweep(world.env, world.clock.now);
  } catch (error) {
    world.sweepFailed();
    if (!(error instanceof Dead)) world.note('sweep', String(error));
  }
}
