// Responsible for carrying out the steps of a case. Must not judge: a step only fails when what it
// waits for does not come.
import { setTimeout as sleep } from 'node:timers/promises';
import type { Pattern, Step } from './format.ts';
import { fits } from './match.ts';
import type { Stage } from './stage.ts';

/** How long a process may take from its start to its first poll, ms. */
const START_MS = 60_000;
/** How much longer it is watched that is not gone in time, to say when it was, ms. */
const LATE_MS = 5000;
const LOOK_EVERY_MS = 20;

/** What a step waited for did not come. */
export class StepFailed extends Error {
  readonly step: Step;
  constructor(step: Step, reason: string) {
    super(reason);
    this.step = step;
  }
}

/**
 * Carries the steps out, one after the other.
 * @throws StepFailed
 */
export async function carryOut(steps: readonly Step[], stage: Stage): Promise<void> {
  const actor = new Actor(stage);
  for (const step of steps) await actor.take(step);
}

class Actor {
  readonly #stage: Stage;
  /** Where in the conversation the last wait found its match; the next one looks behind it. */
  #position = -1;
  #matchedAt = 0;
  readonly #matched = new Set<number>();

  constructor(stage: Stage) {
    this.#stage = stage;
  }

  async take(step: Step): Promise<void> {
    const stage = this.#stage;
    switch (step.do) {
      case 'start':
        return await this.#start(step);
      case 'submit':
        return await stage.submit(step.input);
      case 'cancel':
        return await stage.cancel();
      case 'runpod':
        return stage.runpod.script(step.rules);
      case 'server':
        return stage.server.script.set(step.rules);
      case 'notice':
        return stage.server.say(step.notice);
      case 'signal':
        return this.#signal(step);
      case 'wait':
        return await this.#until(step, step.withinMs, () => {
          if (this.#heard(step.see)) return true;
          if (stage.processes.some(({ hasExited }) => !hasExited)) return false;
          throw new StepFailed(step, 'every process had ended before it came');
        });
      case 'status':
        return await this.#until(step, step.withinMs, async () => {
          const status = await stage.status();
          return step.is.some((wanted) => wanted === status);
        });
      case 'workless':
        return await this.#until(step, step.withinMs, () => {
          return stage.process(step.worker).atWork().length === 0;
        });
      case 'exit':
        return await this.#exit(step);
    }
  }

  #signal(step: Extract<Step, { do: 'signal' }>): void {
    const process = this.#stage.process(step.worker);
    if (process.hasExited) throw new StepFailed(step, 'it had ended before it was told to');
    process.signal(step.signal);
  }

  async #exit(step: Extract<Step, { do: 'exit' }>): Promise<void> {
    const process = this.#stage.process(step.worker);
    const isGone = await process.exit(step.withinMs + LATE_MS);
    if (process.goneAfterMs <= step.withinMs) return;
    const ms = Math.round(process.goneAfterMs);
    throw new StepFailed(step, isGone ? `it was gone after ${ms} ms` : 'it did not end');
  }

  async #start(step: Extract<Step, { do: 'start' }>): Promise<void> {
    const { worker } = step;
    this.#stage.start(worker);
    const process = this.#stage.process(worker);
    await this.#until(step, START_MS, () => {
      if (process.hasExited) throw new StepFailed(step, 'it ended before it asked for a job');
      return this.#heard({ side: 'runpod', call: 'job-take', worker });
    });
    process.rest();
  }

  #heard(pattern: Pattern): boolean {
    const { wire, known } = this.#stage;
    const isAboutAnswer = pattern.status !== undefined || pattern.answer !== undefined;
    const calls = wire.seen();
    const found = calls.findIndex((seen, index) => {
      // A long poll that was open at the last match can bring its answer behind it.
      const isOpenYet = isAboutAnswer && (seen.answeredAt ?? Infinity) > this.#matchedAt;
      const isBehind = index > this.#position || (isOpenYet && !this.#matched.has(index));
      return isBehind && fits(pattern, seen, known);
    });
    if (found < 0) return false;
    this.#matched.add(found);
    this.#position = Math.max(this.#position, found);
    this.#matchedAt = Math.max(this.#matchedAt, calls[found]?.at ?? 0);
    return true;
  }

  async #until(
    step: Step,
    withinMs: number,
    isSo: () => boolean | Promise<boolean>,
  ): Promise<void> {
    const deadline = performance.now() + withinMs;
    while (!(await isSo())) {
      if (performance.now() > deadline) {
        throw new StepFailed(step, `it did not come within ${withinMs} ms`);
      }
      await sleep(LOOK_EVERY_MS);
    }
  }
}
