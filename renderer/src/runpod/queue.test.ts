import { describe, expect, it } from 'vitest';
import { Queue, RETENTION_MS, type StatusView } from './queue.ts';

const LEASE = 40_000;

function queue() {
  const ended: StatusView[] = [];
  const empty = { jobs: [], stops: [], retried: 0 };
  return { ended, queue: new Queue(LEASE, empty, 0, (view) => ended.push(view)) };
}
const take = (q: Queue, worker: string, now: number) => q.take(worker, now)?.['id'];

describe('the queue', () => {
  it('hands jobs out in the order in which they came', () => {
    const { queue: q } = queue();
    const ids = [1, 2, 3].map((n) => q.submit({ input: { n } }, n).id);
    expect([take(q, 'a', 9), take(q, 'b', 9), take(q, 'c', 9)]).toEqual(ids);
    expect(take(q, 'd', 9)).toBeUndefined();
  });

  it('shows a finished job as the platform does', () => {
    const { queue: q, ended } = queue();
    const { id } = q.submit({ input: { n: 1 } }, 1000);
    take(q, 'a', 1500);
    expect(q.done('a', id, { output: { ok: true } }, 4000)).toBe(true);
    const view = { delayTime: 500, executionTime: 2500, id, output: { ok: true } };
    expect(q.status(id, 9000)).toEqual({ ...view, status: 'COMPLETED', workerId: 'a' });
    expect(ended).toHaveLength(1);
  });

  it('fails a job whose worker reports an error, without another try', () => {
    const { queue: q } = queue();
    const { id } = q.submit({ input: { n: 1 } }, 0);
    take(q, 'a', 0);
    q.done('a', id, { error: 'broken' }, 1);
    expect(q.status(id, 1)).toMatchObject({ status: 'FAILED', error: 'broken' });
    expect(take(q, 'a', 2)).toBeUndefined();
  });

  it('keeps the lease of a job that a ping names, and of no other', () => {
    const { queue: q } = queue();
    const { id } = q.submit({ input: { n: 1 } }, 0);
    take(q, 'a', 0);
    q.ping('a', [id], LEASE - 1);
    q.tick(LEASE + 1);
    expect(q.status(id, LEASE + 1)?.status).toBe('IN_PROGRESS');
    q.ping('a', ['another'], 2 * LEASE - 2);
    q.ping('b', [id], 2 * LEASE - 2);
    q.tick(2 * LEASE);
    expect(q.status(id, 2 * LEASE)?.status).toBe('IN_QUEUE');
  });

  it('hands a job out once more after a lost lease, then fails it', () => {
    const { queue: q } = queue();
    const { id } = q.submit({ input: { n: 1 } }, 0);
    take(q, 'a', 0);
    q.tick(LEASE);
    expect(q.status(id, LEASE)).toMatchObject({ status: 'IN_QUEUE', retries: 1 });
    expect(take(q, 'b', LEASE + 1)).toBe(id);
    expect(q.done('a', id, { output: 1 }, LEASE + 2)).toBe(false);
    q.tick(2 * LEASE + 1);
    const failed = { status: 'FAILED', error: 'job timed out after 1 retries', retries: 1 };
    expect(q.status(id, 2 * LEASE + 1)).toMatchObject(failed);
    expect(q.health().retried).toBe(1);
  });

  it('cancels a waiting job at once and tells the worker of a running one to stop', () => {
    const { queue: q } = queue();
    const waiting = q.submit({ input: { n: 1 } }, 0).id;
    expect(q.cancel(waiting, 1)?.status).toBe('CANCELLED');
    expect(take(q, 'a', 2)).toBeUndefined();
    const running = q.submit({ input: { n: 2 } }, 3).id;
    take(q, 'a', 4);
    q.cancel(running, 5);
    expect(q.takeStops('a')).toEqual([running]);
    expect(q.takeStops('a')).toEqual([]);
    expect(q.done('a', running, { output: 1 }, 6)).toBe(false);
  });

  it('leaves the outcome of a finished job as it is when it is cancelled', () => {
    const { queue: q, ended } = queue();
    const { id } = q.submit({ input: { n: 1 } }, 0);
    take(q, 'a', 0);
    q.done('a', id, { output: 1 }, 1);
    expect(q.cancel(id, 2)?.status).toBe('COMPLETED');
    expect(ended).toHaveLength(1);
  });

  it('fails a job that runs longer than its policy allows, and stops its worker', () => {
    const { queue: q } = queue();
    const { id } = q.submit({ input: { n: 1 }, policy: { executionTimeout: 5000 } }, 0);
    take(q, 'a', 100);
    q.tick(5100);
    expect(q.status(id, 5100)).toMatchObject({
      status: 'FAILED',
      error: 'executionTimeout exceeded',
    });
    expect(q.takeStops('a')).toEqual([id]);
  });

  it('forgets a job whose time to live is over, even while it runs', () => {
    const { queue: q } = queue();
    const { id } = q.submit({ input: { n: 1 }, policy: { ttl: 10_000 } }, 0);
    take(q, 'a', 0);
    q.tick(10_000);
    expect(q.status(id, 10_000)).toBeUndefined();
    expect(q.takeStops('a')).toEqual([id]);
  });

  it('shows progress while a job runs and forgets it when the end brings no output', () => {
    const { queue: q } = queue();
    const { id } = q.submit({ input: { n: 1 } }, 0);
    take(q, 'a', 0);
    q.done('a', id, { status: 'IN_PROGRESS', output: 'half' }, 1);
    expect(q.status(id, 1)).toMatchObject({ status: 'IN_PROGRESS', output: 'half' });
    q.done('a', id, {}, 2);
    expect(q.status(id, 2)).not.toHaveProperty('output');
  });

  it('forgets a finished job after its retention', () => {
    const { queue: q } = queue();
    const { id } = q.submit({ input: { n: 1 } }, 0);
    q.cancel(id, 1);
    q.tick(RETENTION_MS);
    expect(q.status(id, RETENTION_MS)).toBeDefined();
    q.tick(RETENTION_MS + 1);
    expect(q.status(id, RETENTION_MS + 1)).toBeUndefined();
  });
});
