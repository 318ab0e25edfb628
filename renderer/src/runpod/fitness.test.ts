import { describe, expect, it } from 'vitest';
import { Api } from './api.ts';
import { readWorkerEnv } from './env.ts';
import { checkFitness } from './fitness.ts';
import { FitnessFailed } from './index.ts';
import { heard, openQueue, run, until, work } from './test/harness.ts';

const done = async () => ({ output: 1 });
const broken = (message: string) => async () => {
  throw new Error(message);
};

describe('fitness checks', () => {
  it('come one after the other, all before the first job is taken', async () => {
    const queue = await openQueue();
    const seen: unknown[] = [];
    const check = (name: string) => async () => {
      seen.push(name, queue.trace().length);
    };
    const id = await run(queue);
    work(queue, done, { fitness: { disk: check('disk'), gpu: check('gpu') } });
    await until(queue, id, 'COMPLETED');
    expect(seen).toEqual(['disk', 1, 'gpu', 1]);
  });

  it('that fail are told to RunPod once, and no job is taken', async () => {
    const queue = await openQueue();
    let ran = 0;
    const fitness = {
      gpu: broken('no GPU '.repeat(100)),
      never: async () => void (ran += 1),
    };
    const { ended } = work(queue, done, { fitness });
    await expect(ended).rejects.toBeInstanceOf(FitnessFailed);
    await expect(ended).rejects.toMatchObject({ check: 'gpu' });
    expect(queue.trace()).toMatchObject([
      {
        op: 'ping',
        query: {
          status: 'unhealthy',
          check: 'gpu',
          reason: 'no GPU '.repeat(100).slice(0, 256),
          runpod_version: 'runpod-worker-ts/0.1.0',
        },
      },
    ]);
    expect(ran).toBe(0);
  });

  it('end the worker also when RunPod cannot be told, and do not wait for its answer', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'ping', fault: { delayMs: 30_000 } }]);
    const startedAt = performance.now();
    const { ended } = work(queue, done, { fitness: { disk: broken('full') } });
    await expect(ended).rejects.toThrow('the fitness check disk failed: full');
    expect(performance.now() - startedAt).toBeLessThan(20_000);
  });

  it('that do not come to an end fail', async () => {
    const queue = await openQueue();
    const api = new Api(readWorkerEnv(queue.workerEnv('w1')));
    const shutdown = new AbortController().signal;
    let signal: AbortSignal | undefined;
    const hangs = (given: AbortSignal) => new Promise<void>(() => (signal = given));
    const checking = checkFitness({ hangs }, { api, shutdown, log: () => undefined }, 30);
    await expect(checking).rejects.toThrow('not done after 30 ms');
    expect(signal?.aborted).toBe(true);
  });

  it('are cut short by the shutdown, without a word about fitness', async () => {
    const queue = await openQueue();
    const hangs = () => new Promise<void>(() => undefined);
    const { stop } = work(queue, done, { fitness: { hangs } });
    await stop();
    expect(heard(queue, 'ping')).toEqual([]);
    expect(heard(queue, 'job-take')).toEqual([]);
  });
});
