import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it, onTestFinished } from 'vitest';
import type { Handler, JobResult } from './index.ts';
import { pause } from './pause.ts';
import { startStandIn } from './stand-in/index.ts';
import { ask, heard, KEY, openQueue, run, soon, until, work } from './test/harness.ts';

const bodies = (calls: readonly { readonly body?: unknown }[]) => calls.map(({ body }) => body);

/** Collects what `onUndelivered` is told. */
function undelivered() {
  const seen: { id: string; result: JobResult; status: number }[] = [];
  const onUndelivered = ({ id }: { id: string }, result: JobResult, status: number) => {
    seen.push({ id, result, status });
  };
  return { seen, onUndelivered };
}

describe('a result', () => {
  it('is JSON under the headers of RunPod’s own worker', async () => {
    const queue = await openQueue();
    work(queue, async () => ({ output: { a: 'ü' } }));
    const id = await run(queue);
    await until(queue, id, 'COMPLETED');
    const [done] = heard(queue, 'job-done');
    expect(done).toMatchObject({
      method: 'POST',
      path: `/v2/local/job-done/w1/${id}`,
      query: { gpu: 'local', isStream: 'false' },
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        charset: 'utf-8',
        'x-request-id': id,
      },
      body: { output: { a: 'ü' } },
    });
  });

  it.each([
    ['an output that is not there', { output: undefined }, { output: null }],
    ['an error without a text', { error: '' }, { error: 'the job failed' }],
    ['an output beside an error that is none', { output: 1, error: undefined }, { output: 1 }],
    ['what cannot be JSON', { output: 1n }, { error: 'the result cannot be written as JSON' }],
    ['nothing', undefined, { error: 'the handler failed' }],
    ['an object of another form', { foo: 1 }, { error: 'the handler failed' }],
  ])('says something where the handler returned %s', async (_, returned, body) => {
    const queue = await openQueue();
    // As from a handler that no compiler has checked.
    const handler = v.parse(
      v.custom<Handler>(() => true),
      async () => returned,
    );
    work(queue, handler);
    await run(queue);
    await soon(() => expect(bodies(heard(queue, 'job-done'))).toEqual([body]));
  });

  it('is repeated through 5xx, 429 and cut connections, while the job stays in the pings', async () => {
    const queue = await openQueue();
    queue.script([
      { on: 'job-done', nth: [1, 2], fault: { status: 503 } },
      { on: 'job-done', nth: [3, 4], fault: { drop: 'call' } },
      { on: 'job-done', nth: [5, 6, 7], fault: { status: 429 } },
    ]);
    work(queue, async () => ({ output: 'kept' }), {
      retryMs: 20,
      env: { RUNPOD_PING_INTERVAL: '100' },
    });
    const id = await run(queue);
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({ output: 'kept' });
    const tries = heard(queue, 'job-done');
    expect(tries).toHaveLength(8);
    const [from = 0, to = 0] = [tries[0]?.at, tries[7]?.at];
    const pings = heard(queue, 'ping').filter(({ at }) => at > from && at < to);
    expect(pings.length).toBeGreaterThan(1);
    expect(new Set(pings.map(({ query }) => query['job_id']))).toEqual(new Set([id]));
  });

  it('that finds the queue away waits for it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'queue-'));
    onTestFinished(() => rm(folder, { recursive: true }));
    const stateFile = join(folder, 'queue.json');
    const first = await startStandIn({ port: 0, apiKey: KEY, stateFile });
    const gate = Promise.withResolvers<void>();
    const { lines } = work(first, async () => {
      await gate.promise;
      return { output: 'kept' };
    });
    const id = await run(first);
    await until(first, id, 'IN_PROGRESS');
    await first.close();
    gate.resolve();
    await soon(() => expect(lines.join()).toContain('sending failed'));
    const second = await startStandIn({ port: first.port, apiKey: KEY, stateFile });
    onTestFinished(() => second.close());
    expect(await until(second, id, 'COMPLETED')).toMatchObject({ output: 'kept' });
  });

  it('is not dropped because of a 4xx that passes', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'job-done', nth: [1, 2], fault: { status: 400 } }]);
    const { seen, onUndelivered } = undelivered();
    work(queue, async () => ({ output: 'kept' }), { onUndelivered });
    const id = await run(queue);
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({ output: 'kept' });
    expect(seen).toEqual([]);
  });

  it('that is refused three times is handed back and logged as an error', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'job-done', fault: { status: 400 } }]);
    const { seen, onUndelivered } = undelivered();
    const { lines } = work(queue, async () => ({ output: 'x' }), { onUndelivered });
    const id = await run(queue);
    await soon(() => expect(seen).toEqual([{ id, result: { output: 'x' }, status: 400 }]));
    expect(bodies(heard(queue, 'job-done'))).toEqual([
      { output: 'x' },
      { output: 'x' },
      { output: 'x' },
    ]);
    expect(lines.filter((line) => line.includes('"level":"error"'))).toHaveLength(1);
  });

  it('that finds nothing but 5xx is handed back after 45 tries', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'job-done', fault: { status: 503 } }]);
    const { seen, onUndelivered } = undelivered();
    work(queue, async () => ({ output: 'x' }), { onUndelivered, retryMs: 1 });
    const id = await run(queue);
    await soon(() => expect(seen).toEqual([{ id, result: { output: 'x' }, status: 503 }]));
    expect(heard(queue, 'job-done')).toHaveLength(45);
  });

  it.each([
    ['413 says so at once', 413, 10, 1],
    ['400 may mean so when it is large', 400, 2_000_001, 3],
  ])(
    'that is too large makes place for an error that says so: %s',
    async (_, status, size, tries) => {
      const queue = await openQueue();
      const nth = Array.from({ length: tries }, (__, n) => n + 1);
      queue.script([{ on: 'job-done', nth, fault: { status } }]);
      const { seen, onUndelivered } = undelivered();
      work(queue, async () => ({ output: 'x'.repeat(size) }), { onUndelivered });
      const id = await run(queue);
      const { error } = await until(queue, id, 'FAILED');
      expect(error).toMatch(/^the result of \d+ bytes was refused as too large/);
      await soon(() => expect(seen).toMatchObject([{ id, status }]));
      expect(heard(queue, 'job-done')).toHaveLength(tries + 1);
    },
  );

  it('is held until it was handed back', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'job-done', fault: { status: 400 } }]);
    const gate = Promise.withResolvers<void>();
    const onUndelivered = async () => {
      await gate.promise;
      throw new Error('no disk');
    };
    const { lines } = work(queue, async () => ({ output: 'x' }), { onUndelivered });
    const id = await run(queue);
    await soon(() => expect(lines.join()).toContain('could not be delivered'));
    const before = heard(queue, 'ping').length;
    await soon(() => expect(heard(queue, 'ping').length).toBeGreaterThan(before + 1));
    expect(heard(queue, 'ping').at(-1)?.query['job_id']).toBe(id);
    gate.resolve();
    await soon(() => expect(heard(queue, 'ping').at(-1)?.query).not.toHaveProperty('job_id'));
    expect(lines.join()).toContain('onUndelivered failed');
  });

  it('is no longer sent once the job was stopped', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'job-done', fault: { status: 503 } }]);
    const { seen, onUndelivered } = undelivered();
    work(queue, async () => ({ output: 'x' }), { onUndelivered });
    const id = await run(queue);
    await soon(() => expect(heard(queue, 'job-done').length).toBeGreaterThan(1));
    await ask(queue, `cancel/${id}`, 'POST');
    await soon(() => expect(heard(queue, 'job-take')).toHaveLength(2));
    expect(seen).toEqual([]);
  });
});

describe('progress', () => {
  it('is shown while the job runs', async () => {
    const queue = await openQueue();
    const gate = Promise.withResolvers<void>();
    work(queue, async (_, { progress }) => {
      progress({ percent: 40 });
      await gate.promise;
      return { output: 'end' };
    });
    const id = await run(queue);
    await soon(async () =>
      expect(await ask(queue, `status/${id}`, 'GET')).toMatchObject({
        status: 'IN_PROGRESS',
        output: { percent: 40 },
      }),
    );
    gate.resolve();
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({ output: 'end' });
    expect(heard(queue, 'progress')[0]).toMatchObject({
      query: { isStream: 'false' },
      body: { status: 'IN_PROGRESS', output: { percent: 40 } },
    });
  });

  it('goes out one at a time and newest only, so that it keeps its order and holds up nothing', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'progress', fault: { delayMs: 60 } }]);
    let tookMs = Infinity;
    work(queue, async (_, { progress }) => {
      const startedAt = performance.now();
      for (let n = 1; n <= 500; n += 1) progress(n);
      tookMs = performance.now() - startedAt;
      await soon(() => expect(heard(queue, 'progress')).toHaveLength(2));
      progress(501);
      await soon(() => expect(heard(queue, 'progress')).toHaveLength(3));
      return { output: 'end' };
    });
    await until(queue, await run(queue), 'COMPLETED');
    const updates = heard(queue, 'progress');
    expect(updates.map(({ body }) => body)).toMatchObject([
      { output: 1 },
      { output: 500 },
      { output: 501 },
    ]);
    // Each is answered after 60 ms, and the next has waited for that.
    const [first, second, third] = updates.map(({ at }) => at);
    expect((second ?? 0) - (first ?? Infinity)).toBeGreaterThan(55);
    expect((third ?? 0) - (second ?? Infinity)).toBeGreaterThan(55);
    // Thirty seconds, had each waited for the answer to the one before.
    expect(tookMs).toBeLessThan(10_000);
  });

  it('never follows the result, not even a slow update', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'progress', fault: { delayMs: 200 } }]);
    let late: (value: unknown) => void = () => undefined;
    work(queue, async (_, { progress }) => {
      late = progress;
      progress('in flight');
      await soon(() => expect(heard(queue, 'progress')).toHaveLength(1));
      progress('never sent');
      return { output: 'end' };
    });
    const id = await run(queue);
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({ output: 'end' });
    late('too late');
    await pause(50);
    const [update, ...more] = heard(queue, 'progress');
    expect(more).toEqual([]);
    const waitedMs = (heard(queue, 'job-done')[0]?.at ?? 0) - (update?.at ?? Infinity);
    expect(waitedMs).toBeGreaterThan(195);
  });

  it('that fails is not the end of the job', async () => {
    const queue = await openQueue();
    queue.script([{ on: 'progress', fault: { drop: 'call' } }]);
    const { lines } = work(queue, async (_, { progress }) => {
      progress(1);
      progress(2n);
      return { output: 'end' };
    });
    await until(queue, await run(queue), 'COMPLETED');
    expect(lines.join()).toContain('progress could not be sent');
  });
});
