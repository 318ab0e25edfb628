import { describe, expect, it } from 'vitest';
import { DAY_MS, type RunBody, type StatusView } from './job.ts';
import { Queue, RETENTION_MS, SYNC_RETENTION_MS, type QueueOptions } from './queue.ts';

const LEASE = 40_000;

function queue(options: Partial<QueueOptions> = {}) {
  const ended: StatusView[] = [];
  const q = new Queue(
    { leaseMs: LEASE, timeoutStatus: 'FAILED', onEnd: (view) => ended.push(view), ...options },
    { jobs: [], stops: [], retried: 0 },
    0,
  );
  const run = (now: number, policy?: RunBody['policy'], kind: 'run' | 'runsync' = 'run') =>
    q.submit({ input: { n: 1 }, ...(policy ? { policy } : {}) }, kind, now).id;
  return { ended, q, run, take: (worker: string, now: number) => q.take(worker, now)?.id };
}

describe('the order of the queue', () => {
  it('hands jobs out in the order in which they came', () => {
    const { q, run, take } = queue();
    const ids = [run(1), run(2), run(3)];
    expect([take('a', 9), take('b', 9), take('c', 9)]).toEqual(ids);
    expect(q.take('d', 9)).toBeUndefined();
  });

  it('keeps the place of a job whose taker had hung up, and counts no try', () => {
    const { q, run, take } = queue();
    const first = run(1);
    run(2);
    take('a', 5);
    q.untake(first);
    expect(q.status(first, 6)).toEqual({ id: first, status: 'IN_QUEUE' });
    expect(take('b', 7)).toBe(first);
  });

  it('gives a worker the input, the wait so far and the webhook', () => {
    const { q } = queue();
    const webhook = 'https://hook.example/';
    const { id } = q.submit({ input: { n: 7 }, webhook }, 'run', 100);
    expect(q.take('a', 350)).toEqual({ id, input: { n: 7 }, delayTime: 250, webhook });
  });
});

describe('the end of a job', () => {
  it('is shown as the platform shows it', () => {
    const { q, run, take, ended } = queue();
    const id = run(1000);
    take('a', 1500);
    expect(q.done('a', id, { output: { ok: true } }, 4000)).toBe(true);
    const view = { delayTime: 500, executionTime: 2500, id, output: { ok: true } };
    expect(q.status(id, 9000)).toEqual({ ...view, status: 'COMPLETED', workerId: 'a' });
    expect(ended).toEqual([{ ...view, status: 'COMPLETED', workerId: 'a' }]);
  });

  it('is a failure, without another try, when its worker reports an error', () => {
    const { q, run, take } = queue();
    const id = run(0);
    take('a', 0);
    q.done('a', id, { output: { rest: 1 }, error: 'broken' }, 1);
    const view = { status: 'FAILED', error: 'broken', output: { rest: 1 } };
    expect(q.status(id, 1)).toMatchObject(view);
    expect(q.take('a', 2)).toBeUndefined();
  });

  it('comes once: a second result is refused and changes nothing', () => {
    const { q, run, take, ended } = queue();
    const id = run(0);
    take('a', 0);
    q.done('a', id, { output: 1 }, 1);
    expect(q.done('a', id, { output: 2 }, 2)).toBe(false);
    expect(q.done('a', id, { status: 'IN_PROGRESS', output: 3 }, 2)).toBe(false);
    expect(q.status(id, 3)?.output).toBe(1);
    expect(ended).toHaveLength(1);
  });

  it('can only be told by the worker that holds the job', () => {
    const { q, run, take } = queue();
    const id = run(0);
    expect(q.done('a', id, { output: 1 }, 0)).toBe(false);
    take('a', 0);
    expect(q.done('b', id, { output: 1 }, 1)).toBe(false);
    expect(q.stream('b', id, { output: 1 })).toBe(false);
    expect(q.status(id, 1)?.status).toBe('IN_PROGRESS');
  });

  it('keeps no progress as output when it brings none of its own', () => {
    const { q, run, take } = queue();
    const id = run(0);
    take('a', 0);
    q.done('a', id, { status: 'IN_PROGRESS', output: 'half' }, 1);
    expect(q.status(id, 1)).toMatchObject({ status: 'IN_PROGRESS', output: 'half' });
    q.done('a', id, {}, 2);
    expect(q.status(id, 2)).not.toHaveProperty('output');
  });
});

describe('a lease', () => {
  it('is renewed by a ping of its worker that names the job, and by no other', () => {
    const { q, run, take } = queue();
    const id = run(0);
    take('a', 0);
    q.ping('a', [id], LEASE - 1);
    q.tick(LEASE + 1);
    expect(q.status(id, LEASE + 1)?.status).toBe('IN_PROGRESS');
    q.ping('a', ['another'], 2 * LEASE - 2);
    q.ping('b', [id], 2 * LEASE - 2);
    q.done('a', id, { status: 'IN_PROGRESS', output: 1 }, 2 * LEASE - 2);
    q.tick(2 * LEASE);
    expect(q.status(id, 2 * LEASE)?.status).toBe('IN_QUEUE');
  });

  it('brings the job to another worker once when it is lost, then the job fails', () => {
    const { q, run, take } = queue();
    const id = run(0);
    take('a', 0);
    q.tick(LEASE);
    expect(q.status(id, LEASE)).toMatchObject({ status: 'IN_QUEUE', retries: 1 });
    expect(take('b', LEASE + 500)).toBe(id);
    // The wait is counted from the redelivery on.
    expect(q.status(id, LEASE + 500)?.delayTime).toBe(500);
    expect(q.done('a', id, { output: 1 }, LEASE + 501)).toBe(false);
    q.tick(2 * LEASE + 500);
    const failed = { status: 'FAILED', error: 'job timed out after 1 retries', retries: 1 };
    expect(q.status(id, 2 * LEASE + 500)).toMatchObject(failed);
    expect(q.health()).toMatchObject({ retried: 1, failed: 1 });
  });

  it('begins anew when the queue is started again', () => {
    const { q, run, take } = queue();
    const id = run(0);
    take('a', 0);
    const options: QueueOptions = { leaseMs: LEASE, timeoutStatus: 'FAILED', onEnd: () => {} };
    const again = new Queue(options, q.state(), 3 * LEASE);
    again.tick(3 * LEASE + 1);
    expect(again.status(id, 3 * LEASE + 1)?.status).toBe('IN_PROGRESS');
  });
});

describe('the limits of time', () => {
  it('end a job that runs for longer than its policy allows, and stop its worker', () => {
    const { q, run, take } = queue();
    const id = run(0, { executionTimeout: 5000 });
    take('a', 100);
    q.ping('a', [id], 5000);
    q.tick(5099);
    expect(q.status(id, 5099)?.status).toBe('IN_PROGRESS');
    q.tick(5100);
    const view = { status: 'FAILED', error: 'executionTimeout exceeded' };
    expect(q.status(id, 5100)).toMatchObject(view);
    expect(q.takeStops('a')).toEqual([id]);
  });

  it('can end it as TIMED_OUT too, as RunPod’s pages have it', () => {
    const { q, run, take } = queue({ timeoutStatus: 'TIMED_OUT' });
    const id = run(0, { executionTimeout: 5000 });
    take('a', 0);
    q.tick(5000);
    expect(q.status(id, 5000)?.status).toBe('TIMED_OUT');
    expect(q.health().failed).toBe(1);
  });

  it('are ten minutes of work and a day in all where a job says nothing', () => {
    const { q, run, take } = queue({ leaseMs: 2 * DAY_MS });
    const working = run(0);
    take('a', 0);
    const waiting = run(0);
    q.tick(600_000 - 1);
    expect(q.status(working, 0)?.status).toBe('IN_PROGRESS');
    q.tick(600_000);
    expect(q.status(working, 0)?.status).toBe('FAILED');
    q.tick(DAY_MS - 1);
    expect(q.status(waiting, 0)?.status).toBe('IN_QUEUE');
    q.tick(DAY_MS);
    expect(q.status(waiting, 0)).toBeUndefined();
  });

  it('forget a job whose time to live is over, even while it runs', () => {
    const { q, run, take } = queue();
    const id = run(0, { ttl: 10_000 });
    take('a', 0);
    q.tick(10_000);
    expect(q.status(id, 10_000)).toBeUndefined();
    expect(q.takeStops('a')).toEqual([id]);
  });

  it('keep the result of /run for half an hour and that of /runsync for a minute', () => {
    const { q, run, take } = queue();
    const ids = [run(0, { ttl: 10_000 }), run(0, { ttl: 10_000 }, 'runsync')] as const;
    for (const id of ids) {
      take('a', 0);
      q.done('a', id, { output: 1 }, 1);
    }
    const known = (now: number) => {
      q.tick(now);
      return ids.filter((id) => q.status(id, now));
    };
    expect(ids[1]).toMatch(/^sync-/);
    expect(known(SYNC_RETENTION_MS)).toEqual(ids);
    expect(known(SYNC_RETENTION_MS + 1)).toEqual([ids[0]]);
    expect(known(RETENTION_MS)).toEqual([ids[0]]);
    expect(known(RETENTION_MS + 1)).toEqual([]);
    expect(RETENTION_MS / SYNC_RETENTION_MS).toBe(30);
  });

  it('can be set for one job, or its result, while it is there', () => {
    const { q, run } = queue();
    const id = run(0);
    q.cancel(id, 0);
    q.limit(id, 6000, 1000);
    q.tick(6999);
    expect(q.status(id, 6999)).toBeDefined();
    q.tick(7000);
    expect(q.status(id, 7000)).toBeUndefined();
  });
});

describe('a client', () => {
  it('cancels a waiting job at once, and a running one with a signal to its worker', () => {
    const { q, run, take } = queue();
    const waiting = run(0);
    expect(q.cancel(waiting, 1)).toEqual({ id: waiting, status: 'CANCELLED' });
    expect(take('a', 2)).toBeUndefined();
    const running = run(3);
    take('a', 4);
    q.cancel(running, 5);
    expect(q.takeStops('b')).toEqual([]);
    expect(q.takeStops('a')).toEqual([running]);
    expect(q.takeStops('a')).toEqual([]);
    expect(q.done('a', running, { output: 1 }, 6)).toBe(false);
  });

  it('changes nothing by cancelling a job that is over', () => {
    const { q, run, take, ended } = queue();
    const id = run(0);
    take('a', 0);
    q.done('a', id, { output: 1 }, 1);
    expect(q.cancel(id, 2)?.status).toBe('COMPLETED');
    expect(ended).toHaveLength(1);
  });

  it('retries what went wrong, under the same id and without its old result', () => {
    const { q, run, take } = queue();
    const id = run(0);
    take('a', 0);
    q.done('a', id, { output: 'old', error: 'broken' }, 9000);
    expect(q.retry(id, 20_000)).toEqual({ id, status: 'IN_QUEUE' });
    expect(q.take('b', 20_001)).toMatchObject({ id, input: { n: 1 } });
    expect(q.status(id, 20_002)?.executionTime).toBe(1);
    q.done('b', id, { output: 'new' }, 20_002);
    expect(q.status(id, 20_002)).toMatchObject({ status: 'COMPLETED', output: 'new' });
  });

  it('gives a job that it retries a whole time to live and a redelivery of its own', () => {
    const { q, run, take } = queue();
    const id = run(0, { ttl: 3 * LEASE });
    take('a', 0);
    q.tick(LEASE);
    take('b', LEASE);
    q.tick(2 * LEASE);
    expect(q.status(id, 2 * LEASE)).toMatchObject({ status: 'FAILED', retries: 1 });
    q.retry(id, 2 * LEASE);
    take('c', 2 * LEASE);
    q.tick(3 * LEASE);
    expect(q.status(id, 3 * LEASE)).toMatchObject({ status: 'IN_QUEUE', retries: 1 });
    q.tick(5 * LEASE - 1);
    expect(q.status(id, 5 * LEASE - 1)).toBeDefined();
    q.tick(5 * LEASE);
    expect(q.status(id, 5 * LEASE)).toBeUndefined();
  });

  it('cannot retry what waits, runs, went well, was cancelled or is not known', () => {
    const { q, run, take } = queue();
    const id = run(0);
    expect(q.retry(id, 1)).toBe('refused');
    take('a', 1);
    expect(q.retry(id, 1)).toBe('refused');
    q.done('a', id, { output: 1 }, 1);
    expect(q.retry(id, 1)).toBe('refused');
    const cancelled = run(2);
    q.cancel(cancelled, 2);
    expect(q.retry(cancelled, 2)).toBe('refused');
    expect(q.retry('nobody', 1)).toBe('unknown');
  });

  it('purges the jobs that wait, and no others', () => {
    const { q, run, take } = queue();
    const running = run(0);
    take('a', 0);
    const waiting = [run(1), run(2)];
    expect(q.purge()).toBe(2);
    expect(waiting.map((id) => q.status(id, 3))).toEqual([undefined, undefined]);
    expect(q.status(running, 3)?.status).toBe('IN_PROGRESS');
    expect(q.purge()).toBe(0);
  });

  it('fetches each piece of a stream once, also after the end', () => {
    const { q, run, take } = queue();
    const id = run(0);
    take('a', 0);
    q.stream('a', id, { output: 1 });
    q.stream('a', id, { output: 2 });
    const stream = [{ output: 1 }, { output: 2 }];
    expect(q.drain(id)).toEqual({ status: 'IN_PROGRESS', stream });
    expect(q.drain(id)).toEqual({ status: 'IN_PROGRESS', stream: [] });
    q.stream('a', id, { output: 3 });
    q.done('a', id, { output: [] }, 1);
    expect(q.drain(id)).toEqual({ status: 'COMPLETED', stream: [{ output: 3 }] });
    expect(q.drain('nobody')).toBeUndefined();
  });

  it('fetches nothing of what a lost worker streamed once another begins', () => {
    const { q, run, take } = queue();
    const id = run(0);
    take('a', 0);
    q.stream('a', id, { output: 'of the lost' });
    q.tick(LEASE);
    expect(q.drain(id)).toEqual({ status: 'IN_QUEUE', stream: [] });
  });
});
