import { describe, expect, it } from 'vitest';
import { MAX_CHUNK_BYTES } from './stream.ts';
import { ask, heard, openQueue, run, soon, until, work } from './test/harness.ts';

const bodies = (calls: readonly { readonly body?: unknown }[]) => calls.map(({ body }) => body);

async function* threeChunks() {
  yield 'a';
  yield { b: 1 };
  yield undefined;
}

describe('a stream', () => {
  it('sends each chunk in order, and ends with an empty output', async () => {
    const queue = await openQueue();
    work(queue, threeChunks);
    const id = await run(queue);
    await until(queue, id, 'COMPLETED');
    const chunks = heard(queue, 'job-stream');
    expect(bodies(chunks)).toEqual([{ output: 'a' }, { output: { b: 1 } }, { output: null }]);
    expect(chunks[0]).toMatchObject({
      path: `/v2/local/job-stream/w1/${id}`,
      query: { isStream: 'false' },
      headers: { 'x-request-id': id },
    });
    expect(heard(queue, 'job-done')).toMatchObject([
      { query: { isStream: 'true' }, body: { output: [] } },
    ]);
  });

  it('can be repeated whole in the result', async () => {
    const queue = await openQueue();
    work(queue, threeChunks, { returnAggregateStream: true });
    const id = await run(queue);
    expect(await until(queue, id, 'COMPLETED')).toMatchObject({ output: ['a', { b: 1 }, null] });
  });

  it('keeps its order when a chunk has to be repeated', async () => {
    const queue = await openQueue();
    queue.script([
      { on: 'job-stream', nth: [2, 3], fault: { status: 500 } },
      { on: 'job-stream', nth: 4, fault: { status: 400 } },
    ]);
    work(queue, threeChunks);
    await until(queue, await run(queue), 'COMPLETED');
    const taken = heard(queue, 'job-stream').filter(({ status }) => status === 200);
    expect(bodies(taken)).toEqual([{ output: 'a' }, { output: { b: 1 } }, { output: null }]);
  });

  it('fails, with the generator ended, when a chunk is refused or too large', async () => {
    const queue = await openQueue();
    let ended = 0;
    let next = '';
    work(queue, async function* () {
      try {
        yield next;
        yield 'never';
      } finally {
        ended += 1;
      }
    });
    next = 'x'.repeat(MAX_CHUNK_BYTES);
    const large = await until(queue, await run(queue), 'FAILED');
    expect(large['error']).toBe(`a chunk of 1000013 bytes is larger than ${MAX_CHUNK_BYTES}`);
    expect(heard(queue, 'job-stream')).toEqual([]);
    next = 'small';
    queue.script([{ on: 'job-stream', fault: { status: 400 } }]);
    const refused = await until(queue, await run(queue), 'FAILED');
    expect(refused['error']).toBe('a chunk could not be delivered (400)');
    expect(heard(queue, 'job-stream')).toHaveLength(3);
    expect(ended).toBe(2);
  });

  it('that throws fails, after what it had said', async () => {
    const queue = await openQueue();
    work(queue, async function* () {
      yield 1;
      throw new Error('secret');
    });
    const view = await until(queue, await run(queue), 'FAILED');
    expect(view).toMatchObject({ error: 'the handler failed' });
    expect(bodies(heard(queue, 'job-stream'))).toEqual([{ output: 1 }]);
    expect(heard(queue, 'job-done')[0]?.query).toMatchObject({ isStream: 'true' });
  });

  it('is ended where it stands when its job is stopped', async () => {
    const queue = await openQueue();
    let ended = false;
    work(queue, async function* () {
      try {
        for (;;) {
          yield 1;
          await new Promise((resolve) => setTimeout(resolve, 5));
        }
      } finally {
        ended = true;
      }
    });
    const id = await run(queue);
    await soon(() => expect(heard(queue, 'job-stream').length).toBeGreaterThan(1));
    await ask(queue, `cancel/${id}`, 'POST');
    await soon(() => expect(ended).toBe(true));
    await soon(() => expect(heard(queue, 'job-take')).toHaveLength(2));
    expect(heard(queue, 'job-done')).toEqual([]);
  });

  it('says what is missing where there is no place for streams', async () => {
    const queue = await openQueue();
    const { RUNPOD_WEBHOOK_POST_STREAM: _, ...env } = queue.workerEnv('w1');
    const without = { ...queue, workerEnv: () => env };
    work(without, threeChunks);
    const view = await until(queue, await run(queue), 'FAILED');
    expect(view['error']).toContain('RUNPOD_WEBHOOK_POST_STREAM');
  });
});
