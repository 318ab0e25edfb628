import path from 'node:path';
import { Worker } from 'node:worker_threads';
import * as v from 'valibot';
import type { Outage } from './faults.ts';
import { addSummary, emptySummary, Summary } from './result.ts';

// Responsible for spreading seeds over threads. Must not import a world: its thread needs hooks first.

/** Seeds that one thread is given at a time. */
const BATCH = 50;

const Reply = v.object({ summary: Summary, trace: v.array(v.string()) });
export type Reply = v.InferOutput<typeof Reply>;

export interface RunOptions {
  readonly threads?: number;
  /** Keeps every line of every world. */
  readonly trace?: boolean;
  /** Instead of what the seeds draw, nothing goes wrong but this, for an hour. */
  readonly outage?: Outage;
  /** Stops at the first violation. */
  readonly hasty?: boolean;
  /** The folder of the simulation, if it is that of another copy of the tree. */
  readonly home?: string;
  /** Ends it early: the run is rejected. */
  readonly signal?: AbortSignal;
  /** Called with the sums so far. */
  readonly onProgress?: (sofar: Summary) => void;
}

/**
 * Runs the worlds of these seeds.
 * @throws when a thread ends before its work is done.
 */
export async function runWorlds(
  seeds: readonly number[],
  {
    threads = 1,
    trace = false,
    outage,
    hasty = false,
    home = import.meta.dirname,
    signal,
    onProgress,
  }: RunOptions = {},
): Promise<Reply> {
  const total: Reply = { summary: emptySummary(), trace: [] };
  let next = 0;
  const take = () => {
    if (hasty && total.summary.violations.length > 0) return [];
    const batch = seeds.slice(next, next + BATCH);
    next += batch.length;
    return batch;
  };
  const work = async () => {
    const thread = new Worker(path.join(home, 'thread.ts'), {
      execArgv: ['--disable-warning=ExperimentalWarning'],
    });
    signal?.addEventListener('abort', () => void thread.terminate());
    try {
      for (let batch = take(); batch.length > 0; batch = take()) {
        const reply = await ask(thread, { seeds: batch, trace, hasty, ...(outage && { outage }) });
        addSummary(total.summary, reply.summary);
        total.trace.push(...reply.trace);
        onProgress?.(total.summary);
      }
    } finally {
      await thread.terminate();
    }
  };
  const wanted = Math.min(threads, Math.ceil(seeds.length / BATCH));
  await Promise.all(Array.from({ length: wanted }, work));
  return total;
}

function ask(thread: Worker, order: object): Promise<Reply> {
  return new Promise((resolve, reject) => {
    const ended = (code: number) => reject(new Error(`the thread ended with ${code}`));
    thread.once('error', reject);
    thread.once('exit', ended);
    thread.once('message', (message: unknown) => {
      thread.off('error', reject);
      thread.off('exit', ended);
      resolve(v.parse(Reply, message));
    });
    // oxlint-disable-next-line unicorn/require-post-message-target-origin -- a thread's port has no origins
    thread.postMessage(order);
  });
}

/** The numbers from one on, in order. */
export function seedsFrom(first: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => first + i);
}

/** A violation as people need it: what, how to see it again, and what led to it. */
export function describeViolations({ violations }: Summary, atMost = 3): string {
  return violations
    .slice(0, atMost)
    .map(({ seed, invariant, detail, trace }) =>
      [
        `seed ${seed} breaks ${invariant}: ${detail}`,
        ...trace,
        `again: npm run simulate -- --seed ${seed} --trace`,
      ].join('\n'),
    )
    .join('\n\n');
}
