import { problem } from '@export-jobs/protocol';
import type { Call } from '../../src/lib/calls.ts';
import type { Answer } from '../../src/lib/types.ts';
import { Dead } from '../stage.ts';
import type { Stage } from '../stage.ts';

/** A call that somebody once made. */
export interface Said {
  readonly attempt: number;
  readonly call: Call;
  /** Whether it came over the renderer's socket. */
  readonly bySocket: boolean;
}

/** What the network repeats long after it was said; the rules of the judge must hold all the same. */
export interface Echoes extends Stage {
  readonly said: readonly Said[];
  hear(said: Said): Promise<Answer>;
  /** Whether a call comes from the present owner of the running attempt. */
  isOwner(attempt: number, call: Call): boolean;
}

/** Repeats old calls at random moments, as long as faults go on. */
export async function echo(world: Echoes): Promise<void> {
  const { clock, random, faults } = world;
  while (!faults.over) {
    await clock.sleep(random.skewed(1000, 600_000));
    const said = world.said[random.int(0, world.said.length - 1)];
    if (!said || !faults.strikes('stale call', 0.5)) continue;
    world.note('echo', said.call.name, `attempt ${said.attempt}`);
    const isOwner = world.isOwner(said.attempt, said.call);
    try {
      const answer = await world.hear({ ...said, bySocket: false });
      if (said.call.name === 'progress' && !isOwner) refuse(world, answer);
    } catch (error) {
      if (!(error instanceof Dead)) throw error;
    }
  }
}

/** I3: whoever is not the owner is told to stop. */
function refuse(world: Echoes, answer: Answer): void {
  if (answer.ok || !problem(answer.code).stop) {
    world.violated('I3', `a stale report is answered with ${answer.ok ? 'yes' : answer.code}`);
  }
}
