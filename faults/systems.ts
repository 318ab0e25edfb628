import { inRoot } from '../scripts/lib/paths.ts';
import type { StackOptions } from '../scripts/stack.ts';

/** What a run is made against. */
export interface System {
  readonly name: 'ours' | 'naive';
  readonly stack: StackOptions;
  /** How long after the last fault everything may take to come to its end, ms. */
  readonly settleMs: number;
  /** When no row of D1 has changed for this long, what has not ended never will, ms. */
  readonly quietMs: number;
}

const SETTLE_MS = 210_000;

/** Times short enough that everything that time heals can be seen to heal within a run. */
const POLICY = {
  lease_ms: 4000,
  connected_ms: 12_000,
  retry_base_ms: 300,
  retry_cap_ms: 3000,
  report_watched_ms: 200,
  report_unwatched_ms: 400,
  report_posted_ms: 400,
  start_ms: 45_000,
  unknown_ms: 5000,
  ask_ms: 3000,
  ask_cap_ms: 6000,
  attempt_ms: 40_000,
  job_ms: 240_000,
};
const RENDERER = { RENDERER_STALL_MS: '5000', RUNPOD_PING_INTERVAL: '1000' };

export const OURS: System = {
  name: 'ours',
  // The longest pauses of an outbox (a minute) and of a queue (45 s to a start), and some work.
  settleMs: SETTLE_MS,
  quietMs: SETTLE_MS,
  stack: {
    policy: POLICY,
    leaseMs: 4000,
    renderers: 2,
    rendererEnv: RENDERER,
    workerCode: { script: inRoot('faults', 'worker', 'ours.ts') },
  },
};

export const NAIVE: System = {
  name: 'naive',
  settleMs: SETTLE_MS,
  // Nothing in it waits for longer than a call's three tries of ten seconds.
  quietMs: 40_000,
  stack: {
    leaseMs: 4000,
    renderers: 2,
    rendererEnv: RENDERER,
    rendererMain: inRoot('bench', 'naive', 'renderer.ts'),
    workerCode: {
      config: inRoot('bench', 'naive', 'wrangler.jsonc'),
      script: inRoot('faults', 'worker', 'naive.ts'),
    },
  },
};
