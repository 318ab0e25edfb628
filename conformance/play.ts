// Responsible for playing one case from its first step to the verdict.
import type { Case, Expectation } from './format.ts';
import { judge, type Violation } from './judge.ts';
import { Stage, type StageSetup } from './stage.ts';
import { carryOut, StepFailed } from './steps.ts';

/** Long enough for any renderer to end that was told to, ms. */
const LAST_EXIT_MS = 20_000;

export interface PlaySetup extends StageSetup {
  /** What must hold in every case. */
  readonly always: readonly Expectation[];
}

export interface Verdict {
  readonly name: string;
  readonly title: string;
  readonly violations: readonly Violation[];
  /** What the renderer printed, the end of it. */
  readonly output: string;
  readonly tookMs: number;
}

/** Plays a case against a renderer. Every process that it starts is gone when it returns. */
export async function play(test: Case, setup: PlaySetup): Promise<Verdict> {
  const startedAt = performance.now();
  const stage = await Stage.open(test, setup);
  try {
    const failed = await act(test, stage);
    const left = await endAll(stage);
    const { known, output } = stage;
    const seen = stage.wire.seen();
    // A case that was broken off has not seen what it is about.
    const expected = failed ? [failed] : judge(test.expect, seen, known);
    const violations = [...expected, ...judge(setup.always, seen, known), ...left];
    const tookMs = performance.now() - startedAt;
    return { name: test.name, title: test.title, violations, output, tookMs };
  } finally {
    await stage.close();
  }
}

/** @returns what did not come. */
async function act(test: Case, stage: Stage): Promise<Violation | undefined> {
  try {
    await carryOut(test.steps, stage);
    return undefined;
  } catch (error) {
    if (!(error instanceof StepFailed)) throw error;
    const { step, message } = error;
    const number = test.steps.indexOf(step) + 1;
    const that = `step ${number} of the case: ${step.do}`;
    return { that, detail: message, expected: step, calls: stage.wire.seen() };
  }
}

/** Only once every process is gone it is known what was never said. */
async function endAll({ processes, wire }: Stage): Promise<Violation[]> {
  const ended = processes.map(async (process): Promise<Violation[]> => {
    if (!process.hasExited) process.signal('SIGTERM');
    const isGone = await process.exit(LAST_EXIT_MS);
    const orphans = await process.kill();
    const { worker } = process;
    const about = {
      expected: { worker },
      calls: wire.seen().filter(({ side }) => side === 'process'),
    };
    return [
      ...(isGone
        ? []
        : [{ that: 'it ends when it is told to', detail: `not in ${LAST_EXIT_MS} ms`, ...about }]),
      ...(orphans.length === 0
        ? []
        : [{ that: 'nothing outlives it', detail: `${orphans.length} processes did`, ...about }]),
    ];
  });
  return (await Promise.all(ended)).flat();
}
