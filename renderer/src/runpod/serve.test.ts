import { describe, expect, it } from 'vitest';
import { JobAborted, runOnce, serve } from './index.ts';
import { pause } from './pause.ts';
import { aborted, ask, heard, openQueue, run, soon, until, work } from './test/harness.ts';

const done = async () => ({ output: 1 });

describe('taking jobs', () => {
  it('brings a job to its handler and the output to the queue', async () => {
    const queue = await openQueue();
    work(queue, async (job) => ({ output: { got: job.input } }));
    const id = await run(queue);
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({
      output: { got: { n: 1 } },
      workerId: 'w1',
    });
  });

  it('asks again without a pause after a job', async () => {
    const queue = await openQueue();
    const ids = [];
    for (let n = 0; n < 9; n += 1) ids.push(await run(queue));
    work(queue, done, { retryMs: 20_000 });
    for (const id of ids) await until(queue, id, 'COMPLETED');
    // One for each job, and one more after the last.
    await expect.poll(() => heard(queue, 'job-take').length, { timeout: 8000 }).toBe(10);
    const takes = heard(queue, 'job-take');
    const dones = heard(queue, 'job-done');
    const gaps = dones.map(({ at }, n) => (takes[n + 1]?.at ?? Infinity) - at);
    expect(gaps).toHaveLength(9);
    // The shortest pause that there is would be ten seconds.
    expect(Math.max(...gaps)).toBeLessThan(8000);
  });

  it('holds one job at a time, and says so', async () => {
    const queue = await openQueue();
    let running = 0;
    let most = 0;
    work(queue, async () => {
      running += 1;
      most = Math.max(most, running);
      await pause(20);
      running -= 1;
      return { output: 1 };
    });
    const ids = [await run(queue), await run(queue), await run(queue)];
    for (const id of ids) await until(queue, id, 'COMPLETED');
    expect(most).toBe(1);
    expect(new Set(heard(queue, 'job-take').map(({ query }) => query['job_in_progress']))).toEqual(
      new Set(['0']),
    );
  });

  it('takes 400, as with FlashBoot, and 204 for “no job”, without a word in the log', async () => {
    const queue = await openQueue();
    queue.script([
      { on: 'job-take', nth: 1, fault: { status: 400 } },
      { on: 'job-take', nth: 2, fault: { status: 204 } },
      { on: 'job-take', nth: 3, fault: { status: 200, body: '' } },
    ]);
    const { lines } = work(queue, done);
    await until(queue, await run(queue), 'COMPLETED');
    expect(lines.filter((line) => /"(warn|error)"/.test(line))).toEqual([]);
  });

  it('waits five pauses after 429', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'job-take', nth: 1, fault: { status: 429 } }]);
    work(queue, done, { retryMs: 40 });
    await until(queue, await run(queue), 'COMPLETED');
    const [first, second] = heard(queue, 'job-take');
    expect((second?.at ?? 0) - (first?.at ?? Infinity)).toBeGreaterThanOrEqual(195);
  });

  it('waits longer with each failure, and comes back', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'job-take', nth: [1, 2, 3, 4], fault: { status: 502 } }]);
    const { lines } = work(queue, done, { retryMs: 40 });
    await until(queue, await run(queue), 'COMPLETED');
    const takes = heard(queue, 'job-take');
    const waits = [0, 1, 2, 3].map((n) => (takes[n + 1]?.at ?? 0) - (takes[n]?.at ?? Infinity));
    for (const [n, waitMs] of waits.entries()) {
      expect(waitMs).toBeGreaterThanOrEqual(20 * 2 ** n - 2);
    }
    expect(lines.filter((line) => line.includes('"status":502'))).toHaveLength(4);
  });

  it('asks in no tight loop where “nothing” comes at once instead of after a while', async () => {
    const queue = await openQueue();
    queue.script([
      { on: 'job-take', fault: { status: 204 } },
      { on: 'job-stop', fault: { status: 200, body: { jobsToStop: [] } } },
    ]);
    work(queue, done, { retryMs: 100 });
    await soon(() => expect(heard(queue, 'ping')).toHaveLength(4));
    for (const op of ['job-take', 'job-stop'] as const) {
      const times = heard(queue, op).map(({ at }) => at);
      expect(times.length).toBeGreaterThan(1);
      // A pause of 50 ms after each answer; a timer may be a millisecond early.
      for (const [n, at] of times.slice(1).entries()) {
        expect(at - (times[n] ?? at)).toBeGreaterThanOrEqual(48);
      }
    }
  });

  it.each([
    ['no JSON', '<html>'],
    ['a job without an id', { input: { n: 1 } }],
    ['a list with a job without an id', [{ input: { n: 1 } }]],
  ])('logs %s, and goes on taking', async (_, body) => {
    const queue = await openQueue();
    queue.script([{ on: 'job-take', nth: 1, fault: { status: 200, body } }]);
    const { lines } = work(queue, done);
    await until(queue, await run(queue), 'COMPLETED');
    expect(lines.filter((line) => /"(warn|error)"/.test(line))).toHaveLength(1);
  });

  it('ends a job that came without input as an error, so that it is not handed out again', async () => {
    const queue = await openQueue();
    const id = await run(queue);
    queue.script([{ on: 'job-take', nth: 1, fault: { status: 200, body: { id } } }]);
    let calls = 0;
    work(queue, async () => ({ output: (calls += 1) }));
    const [result] = await soon(() => {
      expect(heard(queue, 'job-done')).not.toHaveLength(0);
      return heard(queue, 'job-done');
    });
    expect(result?.body).toEqual({ error: 'the job has no input' });
    expect(result?.path).toContain(id);
    expect(calls).toBe(0);
  });

  it('reports what a handler throws as the error of the job, without its text', async () => {
    const queue = await openQueue();
    const { lines } = work(queue, async () => {
      throw new Error('secret');
    });
    const view = await until(queue, await run(queue), 'FAILED');
    expect(view).toMatchObject({ error: 'the handler failed' });
    expect(lines.join()).toContain('Error: secret');
  });

  it('gets a job again that went silent elsewhere, under the same id', async () => {
    const queue = await openQueue({ leaseMs: 400 });
    const id = await run(queue);
    await fetch(`${queue.url}/v2/local/job-take/dead?gpu=local`, {
      headers: { authorization: 'key' },
    });
    work(queue, done);
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({ retries: 1, workerId: 'w1' });
  });
});

describe('concurrency', () => {
  it('takes as many jobs as there is room for, in one batch, and goes on while some run', async () => {
    const queue = await openQueue();
    const ids = [];
    for (let n = 0; n < 4; n += 1) ids.push(await run(queue));
    const gates: (() => void)[] = [];
    work(
      queue,
      async () => {
        await new Promise<void>((resolve) => gates.push(resolve));
        return { output: 1 };
      },
      { concurrency: 3 },
    );
    await soon(() => expect(gates).toHaveLength(3));
    gates[0]?.();
    await soon(() => expect(gates).toHaveLength(4));
    for (const open of gates) open();
    for (const id of ids) await until(queue, id, 'COMPLETED');
    const [batch] = heard(queue, 'job-take-batch');
    expect(batch?.query).toMatchObject({ batch_size: '3', job_in_progress: '0' });
    const [single] = heard(queue, 'job-take');
    expect(single?.query).toMatchObject({ job_in_progress: '1' });
    expect(single?.query).not.toHaveProperty('batch_size');
  });

  it('asks before each take how many jobs may be held, with the last answer', async () => {
    const queue = await openQueue();
    const asked: number[] = [];
    const concurrency = (current: number) => {
      asked.push(current);
      return asked.length === 1 ? 2.5 : NaN;
    };
    work(queue, done, { concurrency });
    await until(queue, await run(queue), 'COMPLETED');
    await soon(() => expect(heard(queue, 'job-take')).toHaveLength(1));
    expect(asked.slice(0, 2)).toEqual([1, 2]);
    expect(heard(queue, 'job-take-batch').map(({ query }) => query['batch_size'])).toEqual(['2']);
  });
});

describe('the lease', () => {
  it('is kept by pings for as long as the job runs', async () => {
    const queue = await openQueue({ leaseMs: 1200 });
    work(queue, async () => {
      await pause(1800);
      return { output: 1 };
    });
    const id = await run(queue);
    expect(await until(queue, id, 'COMPLETED')).not.toHaveProperty('retries');
  });

  it('is spoken for at the start without a job, and once more as soon as a job is taken', async () => {
    const queue = await openQueue();
    const { shutdown } = work(
      queue,
      async (_, { signal }) => ({ output: String(await aborted(signal)) }),
      { env: { RUNPOD_PING_INTERVAL: '60000' } },
    );
    await soon(() => expect(heard(queue, 'ping')).toHaveLength(1));
    const id = await run(queue);
    await soon(() => expect(heard(queue, 'ping')).toHaveLength(2));
    shutdown.abort();
    await until(queue, id, 'COMPLETED');
    const [idle, busy] = heard(queue, 'ping').map(({ query }) => query);
    expect(idle).toEqual({ gpu: 'local', runpod_version: 'runpod-worker-ts/0.1.0' });
    expect(busy).toMatchObject({ job_id: id });
  });

  it('names every job that is held', async () => {
    const queue = await openQueue();
    const ids = [await run(queue), await run(queue)];
    const { shutdown } = work(
      queue,
      async (_, { signal }) => ({ output: String(await aborted(signal)) }),
      { concurrency: 2 },
    );
    await soon(() => expect(heard(queue, 'ping').at(-1)?.query['job_id']).toBe(ids.join(',')));
    shutdown.abort();
  });

  it('survives pings that fail: the next comes sooner', async () => {
    const queue = await openQueue({ leaseMs: 1500 });
    queue.script([{ on: 'ping', nth: [2, 3, 4, 5], fault: { status: 503 } }]);
    work(
      queue,
      async () => {
        await pause(2200);
        return { output: 1 };
      },
      { env: { RUNPOD_PING_INTERVAL: '1000' } },
    );
    const id = await run(queue);
    expect(await until(queue, id, 'COMPLETED')).not.toHaveProperty('retries');
  });
});

describe('stopping a job', () => {
  it('aborts the handler of a cancelled job, sends no result, and takes the next', async () => {
    const queue = await openQueue();
    let reason: unknown;
    const { lines } = work(queue, async (job, { signal }) => {
      if (job.id === first) reason = await aborted(signal);
      return { output: 1 };
    });
    const first = await run(queue);
    await until(queue, first, 'IN_PROGRESS');
    await ask(queue, `cancel/${first}`, 'POST');
    const second = await run(queue);
    await until(queue, second, 'COMPLETED');
    expect(reason).toMatchObject({ kind: 'stopped' });
    expect(reason).toBeInstanceOf(JobAborted);
    expect(lines.join()).toContain('"outcome":"stopped"');
    expect(heard(queue, 'job-done').map(({ path }) => path)).toEqual([
      expect.stringContaining(second),
    ]);
    expect(await ask(queue, `status/${first}`, 'GET')).toMatchObject({ status: 'CANCELLED' });
  });

  it('leaves the other jobs of the worker alone', async () => {
    const queue = await openQueue();
    const reasons = new Map<string, unknown>();
    work(
      queue,
      async (job, { signal }) => {
        reasons.set(job.id, await aborted(signal));
        return { output: 1 };
      },
      { concurrency: 2 },
    );
    const [first, second] = [await run(queue), await run(queue)];
    await until(queue, first, 'IN_PROGRESS');
    await until(queue, second, 'IN_PROGRESS');
    await ask(queue, `cancel/${first}`, 'POST');
    await soon(() => expect([...reasons.keys()]).toEqual([first]));
  });

  it('listens through faults', async () => {
    const queue = await openQueue();
    queue.script([
      { on: 'job-stop', nth: 1, fault: { status: 500 } },
      { on: 'job-stop', nth: 2, fault: { status: 200, body: { jobsToStop: [] } } },
      { on: 'job-stop', nth: 3, fault: { status: 200, body: 'x' } },
      { on: 'job-stop', nth: 4, fault: { drop: 'call' } },
    ]);
    let reason: unknown;
    work(queue, async (_, { signal }) => ({ output: (reason = await aborted(signal)) }));
    const id = await run(queue);
    await soon(() => expect(heard(queue, 'job-stop')).toHaveLength(5));
    await until(queue, id, 'IN_PROGRESS');
    await ask(queue, `cancel/${id}`, 'POST');
    await soon(() => expect(reason).toMatchObject({ kind: 'stopped' }));
  });
});

describe('refreshing the worker', () => {
  it('asks for it with the result, and takes no further job', async () => {
    const queue = await openQueue();
    const ids = [await run(queue), await run(queue)];
    const { ended } = work(queue, async () => ({ output: 1, refreshWorker: true }));
    await ended;
    expect(heard(queue, 'job-done').map(({ body }) => body)).toEqual([
      { output: 1, stopPod: true },
    ]);
    expect(await ask(queue, `status/${ids[0]}`, 'GET')).toMatchObject({ status: 'COMPLETED' });
    expect(await ask(queue, `status/${ids[1]}`, 'GET')).toMatchObject({ status: 'IN_QUEUE' });
  });

  it('can be had after every job', async () => {
    const queue = await openQueue();
    await run(queue);
    await work(queue, async () => ({ error: 'x' }), { refreshWorker: true }).ended;
    expect(heard(queue, 'job-done').map(({ body }) => body)).toEqual([
      { error: 'x', stopPod: true },
    ]);
  });

  it('waits for the other jobs in hand: the last result asks for it', async () => {
    const queue = await openQueue();
    const [fast, slow] = [await run(queue), await run(queue)];
    const gate = Promise.withResolvers<void>();
    const { ended } = work(
      queue,
      async ({ id }) => {
        if (id === fast) return { output: 'fast', refreshWorker: true };
        await gate.promise;
        return { output: 'slow' };
      },
      { concurrency: 2 },
    );
    await until(queue, fast, 'COMPLETED');
    gate.resolve();
    await ended;
    expect(heard(queue, 'job-done').map(({ body }) => body)).toEqual([
      { output: 'fast' },
      { output: 'slow', stopPod: true },
    ]);
    expect(await ask(queue, `status/${slow}`, 'GET')).toMatchObject({ status: 'COMPLETED' });
  });
});

describe('without a queue', () => {
  it('names what is missing in the environment, and what to do', async () => {
    const shutdown = new AbortController().signal;
    const serving = serve(done, { env: {}, shutdown });
    await expect(serving).rejects.toThrow(/RUNPOD_WEBHOOK_GET_JOB.*runOnce/s);
  });

  it('tries a handler on one input', async () => {
    const lines: unknown[] = [];
    const log = (_: string, message: string, fields?: unknown) => lines.push([message, fields]);
    const result = await runOnce(
      async ({ input }, { progress }) => {
        progress(50);
        return { output: input };
      },
      { n: 1 },
      { log },
    );
    expect(result).toEqual({ output: { n: 1 } });
    expect(lines).toEqual([['progress', { value: 50 }]]);
    const stream = runOnce(
      async function* () {
        yield 1;
        yield 2;
      },
      {},
      { log },
    );
    expect(await stream).toEqual({ output: [1, 2] });
  });
});
