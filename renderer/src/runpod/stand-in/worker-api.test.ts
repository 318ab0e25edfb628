import { expect, it } from 'vitest';
import { Queue } from './queue.ts';
import { Waiting } from './waiting.ts';
import { WorkerApi } from './worker-api.ts';
import { Workers } from './workers.ts';

it('takes a job back when its worker hangs up while it is being written down', async () => {
  const queue = new Queue(
    { leaseMs: 40_000, timeoutStatus: 'FAILED', onEnd: () => undefined },
    { jobs: [], stops: [], retried: 0 },
    0,
  );
  const { id } = queue.submit({ input: { n: 1 } }, 'run', 0);
  const left = new AbortController();
  const waiting = new Waiting(new AbortController().signal);
  const commit = async () => left.abort();
  const { routes } = new WorkerApi({ queue, workers: new Workers(), waiting, commit }, 0);
  const call = { args: ['w1'], query: new URLSearchParams(), body: undefined, left: left.signal };
  expect(await routes['job-take'].run(call)).toEqual({ status: 204 });
  expect(queue.status(id, 1)).toEqual({ id, status: 'IN_QUEUE' });
});
