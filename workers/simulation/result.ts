import * as v from 'valibot';

// What a thread tells of the worlds that it ran; apart from the worlds, so that commands can read it.

export const Violation = v.object({
  seed: v.number(),
  invariant: v.string(),
  detail: v.string(),
  /** The last lines before it happened. */
  trace: v.array(v.string()),
});
export type Violation = v.InferOutput<typeof Violation>;

const Counts = v.record(v.string(), v.number());

/** Sums over worlds; times in ms. */
export const Summary = v.object({
  worlds: v.number(),
  simulatedMs: v.number(),
  commits: v.number(),
  crashes: v.number(),
  steps: v.number(),
  /** The longest that any world took from the last fault, or its end, until all was settled. */
  settledMs: v.number(),
  faults: Counts,
  ends: Counts,
  violations: v.array(Violation),
});
export type Summary = v.InferOutput<typeof Summary>;

export function emptySummary(): Summary {
  return {
    worlds: 0,
    simulatedMs: 0,
    commits: 0,
    crashes: 0,
    steps: 0,
    settledMs: 0,
    faults: {},
    ends: {},
    violations: [],
  };
}

/** Adds the second to the first. */
export function addSummary(to: Summary, from: Summary): void {
  to.worlds += from.worlds;
  to.simulatedMs += from.simulatedMs;
  to.commits += from.commits;
  to.crashes += from.crashes;
  to.steps += from.steps;
  to.settledMs = Math.max(to.settledMs, from.settledMs);
  addCounts(to.faults, from.faults);
  addCounts(to.ends, from.ends);
  to.violations.push(...from.violations);
}

function addCounts(to: Record<string, number>, from: Readonly<Record<string, number>>): void {
  for (const [name, count] of Object.entries(from)) to[name] = (to[name] ?? 0) + count;
}
