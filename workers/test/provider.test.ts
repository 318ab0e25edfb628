import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { readKept, writeKept } from '../src/durable-objects/kept.ts';
import {
  FakeRenderer,
  MINUTE,
  call,
  createJob,
  evict,
  getJob,
  later,
  playProvider,
  post,
  problemOf,
  provider,
  stubOf,
  ticketOf,
  until,
} from './harness.ts';

// What RunPod is told, what it tells, and what of that is believed.

playProvider();

/** Lets time pass, and what it causes happen. */
async function pass(id: string, ms: number): Promise<void> {
  later(ms);
  await runDurableObjectAlarm(stubOf(id));
}

async function waiting() {
  vi.useFakeTimers({ toFake: ['Date'] });
  const job = await createJob();
  const handed = await ticketOf(job.id);
  await until(async () => (await getJob(job.id)).seq > job.seq);
  return { job, handed };
}

async function rendering() {
  const { job, handed } = await waiting();
  const renderer = new FakeRenderer(handed);
  await renderer.claim();
  return { job, handed, renderer };
}

function knock(webhook: string, body: unknown): Promise<Response> {
  const { pathname, search } = new URL(webhook);
  return post(`${pathname}${search}`, body);
}

/** How often the provider was asked about its only job. */
const asked = () => provider.jobs.get('remote-1')?.asked ?? 0;

/** What the provider says from now on. */
function says(status: string, error?: string): void {
  provider.jobs.set('remote-1', { status, asked: asked(), ...(error && { error }) });
}

describe('a hand-over', () => {
  it('carries its limits and a secret address for its attempt alone', async () => {
    const { job, handed } = await waiting();
    const at = new URL(handed.webhook);
    expect(at.origin).toBe('https://export.example');
    expect(at.pathname).toBe(`/api/hooks/runpod/${job.id}`);
    // In the query, which fewer logs keep than the path.
    expect(at.searchParams.get('token')).toMatch(/^ej1\./);
    expect(at.search).not.toContain(handed.input.token);
  });

  it('without an answer is not repeated while whoever took it may still claim it (I14b)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    provider.answers.push(() => Promise.reject(new Error('connection lost')));
    const job = await createJob();
    await until(() => provider.answers.length === 0);
    await until(async () => (await getJob(job.id)).seq > job.seq);
    expect(await getJob(job.id)).toMatchObject({ status: 'pending', waiting_for: 'dispatch' });
    for (let seconds = 0; seconds < 55; seconds += 11) await pass(job.id, 11_000);
    expect(provider.tickets).toEqual([]);
    await pass(job.id, 10_000);
    expect((await ticketOf(job.id)).input).toMatchObject({ attempt: 1 });
  });

  it('that the object died over is not repeated at once either (I14b)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    provider.answers.push(() => new Response('', { status: 429 }));
    const job = await createJob();
    await until(() => provider.answers.length === 0);
    // As if the process had been killed between the call and its answer.
    await until(() =>
      runInDurableObject(stubOf(job.id), (_, { storage }) => {
        const kept = readKept(storage);
        if (kept?.outbox[0]?.tries !== 1) return false;
        const outbox = kept.outbox.map((row) => ({ ...row, running: true }));
        writeKept(storage, { ...kept, outbox });
        return true;
      }),
    );
    await evict(job.id);
    await pass(job.id, 30_000);
    await until(async () => (await getJob(job.id)).seq > job.seq);
    expect(provider.tickets).toEqual([]);
    await pass(job.id, MINUTE);
    await ticketOf(job.id);
  });
});

describe('a job that waits at the provider', () => {
  it.each([
    [{ idle: 0, running: 0, throttled: 0 }, 'no_workers'],
    [{ throttled: 3 }, 'throttled'],
    [{ unhealthy: 1, throttled: 1 }, 'unhealthy'],
    [{ initializing: 1 }, 'starting'],
    [{ running: 2, initializing: 1 }, 'busy'],
    [{ running: 2 }, 'busy'],
    [{ idle: 1 }, null],
  ])('says why, when the workers are %o: %s', async (workers, reason) => {
    const { job } = await waiting();
    provider.workers = workers;
    await pass(job.id, 31_000);
    await until(() => asked() === 1);
    const seen = await until(async () => {
      const now = await getJob(job.id);
      return now.status === 'pending' && now.wait_reason === reason ? now : null;
    });
    expect(seen).toMatchObject({ waiting_for: 'renderer' });
  });

  it('asks again and again, and no more once it was claimed', async () => {
    const { job, handed } = await waiting();
    for (let n = 1; n <= 3; n += 1) {
      await pass(job.id, 15_000 * 2 ** n + 1000);
      await until(() => asked() === n);
    }
    const renderer = new FakeRenderer(handed);
    await renderer.claim();
    later(31_000);
    await renderer.progress(5);
    await pass(job.id, 31_000);
    await renderer.progress(6);
    expect(asked()).toBe(3);
  });

  it('is asked about all the same when the workers cannot be counted', async () => {
    const { job } = await waiting();
    provider.workers = { idle: Number.NaN };
    await pass(job.id, 31_000);
    await until(() => asked() === 1);
    says('CANCELLED');
    await pass(job.id, 61_000);
    await until(async () => (await getJob(job.id)).attempt === 2);
  });

  it('has all the time that its job has, as long as it is in the queue', async () => {
    const { job } = await waiting();
    for (let minutes = 0; minutes < 60; minutes += 5) {
      later(5 * MINUTE);
      await runDurableObjectAlarm(stubOf(job.id));
      await until(() => asked() > minutes / 5);
      await runInDurableObject(stubOf(job.id), () => undefined);
    }
    expect(await getJob(job.id)).toMatchObject({ status: 'pending', attempt: 1 });
  });

  it('waits on though the provider cannot be asked', async () => {
    const { job } = await waiting();
    provider.answers.push(() => new Response('', { status: 500 }));
    await pass(job.id, 31_000);
    await until(() => provider.answers.length === 0);
    expect(await getJob(job.id)).toMatchObject({ status: 'pending', attempt: 1 });
    await pass(job.id, 2 * MINUTE);
    await until(() => asked() > 0);
  });
});

describe('a renderer that is silent for half of its lease', () => {
  it('and whose socket is gone has its job asked for, and loses it at once when that is over', async () => {
    const { job, renderer } = await rendering();
    const { socket } = await renderer.connect();
    socket.close(1000);
    await until(() =>
      runInDurableObject(stubOf(job.id), (_, { storage }) => {
        const kept = readKept(storage)?.job;
        return kept?.state === 'running' && kept.askAt === kept.heartbeatAt + 45_000;
      }),
    );
    says('FAILED', 'job timed out after 1 retries');
    await evict(job.id);
    await pass(job.id, 46_000);
    await until(async () => (await getJob(job.id)).attempt === 2);
    expect(await getJob(job.id)).toMatchObject({ last_failure: { code: 'renderer_lost' } });
  });

  it('keeps it when the provider has never heard of it: a 404 is no failure', async () => {
    const { job, renderer } = await rendering();
    provider.jobs.clear();
    await pass(job.id, 46_000);
    expect(await getJob(job.id)).toMatchObject({ status: 'processing', attempt: 1 });
    expect((await renderer.progress(10)).status).toBe(200);
  });
});

describe('the provider’s webhook', () => {
  it.each([
    ['FAILED', 'executionTimeout exceeded', 'attempt_timeout'],
    ['TIMED_OUT', undefined, 'attempt_timeout'],
    ['FAILED', 'job timed out after 1 retries', 'renderer_lost'],
    ['CANCELLED', undefined, 'renderer_lost'],
    ['COMPLETED', undefined, 'renderer_lost'],
  ])('makes it ask, and ends a silent attempt: %s %s', async (status, error, code) => {
    const { job, handed } = await rendering();
    later(46_000);
    says(status, error);
    const answer = await knock(handed.webhook, { id: 'remote-1', status, error });
    expect(answer.status).toBe(200);
    await until(async () => (await getJob(job.id)).attempt === 2);
    expect(await getJob(job.id)).toMatchObject({ status: 'pending', last_failure: { code } });
  });

  it('does not end the attempt of a renderer that was just heard', async () => {
    const { job, handed, renderer } = await rendering();
    later(46_000);
    await renderer.progress(50);
    says('FAILED', 'job timed out after 1 retries');
    await knock(handed.webhook, { id: 'remote-1', status: 'FAILED' });
    await pass(job.id, 30_000);
    await renderer.progress(60);
    await pass(job.id, 30_000);
    expect(await getJob(job.id)).toMatchObject({ status: 'processing', attempt: 1 });
    await renderer.putOutput('file');
    expect((await renderer.complete('file')).status).toBe(200);
  });

  it('is not believed: the provider says otherwise when it is asked', async () => {
    const { job, handed } = await rendering();
    later(46_000);
    says('IN_PROGRESS');
    await knock(handed.webhook, { id: 'remote-1', status: 'FAILED', error: 'boo' });
    await until(() => asked() === 1);
    expect(await getJob(job.id)).toMatchObject({ status: 'processing', attempt: 1 });
  });

  it('twice, and late, is one question or two and nothing else', async () => {
    const { job, handed, renderer } = await rendering();
    later(46_000);
    says('IN_PROGRESS');
    const twice = [1, 2].map(() => knock(handed.webhook, { id: 'remote-1' }));
    expect((await Promise.all(twice)).map(({ status }) => status)).toEqual([200, 200]);
    await until(() => asked() >= 1);
    await renderer.putOutput('file');
    await renderer.complete('file');
    const done = await getJob(job.id);
    const before = asked();
    expect((await knock(handed.webhook, { id: 'remote-1' })).status).toBe(200);
    expect(await getJob(job.id)).toMatchObject({ status: 'complete', seq: done.seq });
    expect(asked()).toBe(before);
  });

  it('lost altogether costs no more than the lease', async () => {
    const { job } = await rendering();
    says('FAILED');
    provider.answers.push(() => new Response('', { status: 500 }));
    await pass(job.id, 46_000);
    await pass(job.id, 46_000);
    expect(await getJob(job.id)).toMatchObject({ attempt: 2 });
  });

  it('tells the name of a job whose hand-over had no answer', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { handed, job } = await waiting();
    await runInDurableObject(stubOf(job.id), (_, { storage }) => {
      const kept = readKept(storage);
      if (kept?.job.state !== 'dispatched') throw new Error('not handed over');
      writeKept(storage, { ...kept, job: { ...kept.job, remoteId: null } });
    });
    await evict(job.id);
    says('FAILED');
    await knock(handed.webhook, { id: 'remote-1' });
    await until(async () => (await getJob(job.id)).attempt === 2);
  });

  it.each([
    ['words', 'what is this'],
    ['bytes', new Uint8Array([0xff, 0xfe, 0xfd])],
    ['too much', 'x'.repeat(100_000)],
  ])('is understood though nobody can read it: %s', async (_, body) => {
    const { handed } = await rendering();
    later(46_000);
    says('IN_PROGRESS');
    const { pathname, search } = new URL(handed.webhook);
    const answer = await call(`${pathname}${search}`, { method: 'POST', body });
    expect(answer.status).toBe(200);
    await until(() => asked() === 1);
  });

  it('leaves no secret in the log, though the object cannot be reached', async () => {
    const { handed } = await rendering();
    const logged = vi.spyOn(console, 'error').mockImplementation(() => undefined);
    vi.spyOn(env.EXPORT_JOB, 'getByName').mockImplementation(() => {
      throw new Error('overloaded');
    });
    expect((await knock(handed.webhook, { id: 'remote-1' })).status).toBe(500);
    expect(logged.mock.calls.join()).toContain('/api/hooks/runpod/');
    expect(logged.mock.calls.join()).not.toContain('ej1.');
  });

  it('forged, expired or for another job changes nothing and asks nobody (I3)', async () => {
    const { job, handed } = await rendering();
    const other = await createJob();
    const { pathname, search, searchParams } = new URL(handed.webhook);
    const address = `${pathname}${search}`;
    const secret = searchParams.get('token') ?? '';
    const before = await getJob(job.id);
    for (const wrong of [
      `${address}x`,
      pathname,
      address.replace(secret, 'guess'),
      address.replace(secret, handed.input.token),
      address.replace(job.id, other.id),
    ]) {
      const answer = await post(wrong, { id: 'remote-1', status: 'FAILED' });
      expect(answer.status).toBe(401);
      expect((await problemOf(answer)).code).toBe('unauthorized');
    }
    later(7 * 60 * MINUTE);
    expect((await knock(handed.webhook, { id: 'remote-1' })).status).toBe(401);
    vi.setSystemTime(before.updated_at);
    expect(await getJob(job.id)).toEqual(before);
    expect(asked()).toBe(0);
  });

  it('of an attempt that is over says nothing about the next', async () => {
    const { job, handed, renderer } = await rendering();
    await renderer.error('encoder_failed');
    await pass(job.id, 10_000);
    await FakeRenderer.claims(job.id, 2);
    says('FAILED');
    expect((await knock(handed.webhook, { id: 'remote-1' })).status).toBe(200);
    expect(await getJob(job.id)).toMatchObject({ status: 'processing', attempt: 2 });
    expect(asked()).toBe(0);
  });
});
