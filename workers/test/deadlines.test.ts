import {
  runDurableObjectAlarm,
  runInDurableObject,
  createExecutionContext,
  createScheduledController,
  waitOnExecutionContext,
} from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { JobReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import { JobEngine } from '../src/durable-objects/job-engine.ts';
import { readKept, writeKept } from '../src/durable-objects/kept.ts';
import worker from '../src/index.ts';
import { jobIn } from '../src/job/fixtures.ts';
import { mirrorToD1 } from '../src/outbox/handlers/mirror-to-d1.ts';
import {
  FakeRenderer,
  MINUTE,
  Viewer,
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
  textOf,
  ticketOf,
  until,
  upload,
  urlOf,
} from './harness.ts';

// Time is moved by hand; alarms are run as the platform would, also after the object was evicted.

playProvider();

function armedAt(id: string): Promise<number | null> {
  return runInDurableObject(stubOf(id), (_, state) => state.storage.getAlarm());
}

async function rendering() {
  const job = await createJob();
  const renderer = await FakeRenderer.claims(job.id);
  return { job, renderer };
}

describe('a silent renderer', () => {
  it('loses its attempt when the alarm comes, and the job is dispatched again (I6, S16)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job } = await rendering();
    const viewer = await Viewer.open(job.id);
    later(91_000);
    await runDurableObjectAlarm(stubOf(job.id));
    const told = await until(() => viewer.jobs.find(({ attempt }) => attempt === 2));
    expect(told).toMatchObject({ status: 'pending', last_failure: { code: 'renderer_lost' } });
    later(3000);
    await runDurableObjectAlarm(stubOf(job.id));
    await FakeRenderer.claims(job.id, 2);
    expect(provider.stopped).toContain('remote-1');
    expect(await getJob(job.id)).toMatchObject({ status: 'processing', attempt: 2 });
  });

  it('may have been heard by an object that forgot it: it has one more lease, and no third (I6)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job } = await rendering();
    for (const attempt of [1, 2]) {
      await evict(job.id);
      later(91_000);
      await runDurableObjectAlarm(stubOf(job.id));
      expect(await getJob(job.id)).toMatchObject({ attempt });
    }
  });

  it('is noticed on the next touch, though the alarm never came', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, renderer } = await rendering();
    later(91_000);
    expect(await problemOf(await renderer.progress(50))).toMatchObject({ code: 'stale_attempt' });
    expect(await getJob(job.id)).toMatchObject({ status: 'pending', attempt: 2 });
  });

  it('a heartbeat does not move the alarm; one that fires early arms again', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, renderer } = await rendering();
    await until(async () => (await armedAt(job.id)) !== null);
    later(21_000);
    await runDurableObjectAlarm(stubOf(job.id));
    await renderer.progress(10);
    const armed = await armedAt(job.id);
    later(5000);
    await renderer.progress(11);
    expect(await armedAt(job.id)).toBe(armed);
    later(20_000);
    await runDurableObjectAlarm(stubOf(job.id));
    expect(await getJob(job.id)).toMatchObject({ status: 'processing', attempt: 1 });
    expect(await armedAt(job.id)).toBeGreaterThan(Date.now());
  });
});

describe('every job that has not ended', () => {
  it('has an alarm in each state (I6b)', async () => {
    const { job, renderer } = await rendering();
    expect(await armedAt(job.id)).not.toBeNull();
    await renderer.error('encoder_failed');
    expect(await armedAt(job.id)).not.toBeNull();
    await evict(job.id);
    expect(await armedAt(job.id)).not.toBeNull();
  });

  it('ends at its own deadline', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const job = await createJob();
    later(6 * 60 * MINUTE + 1);
    await runDurableObjectAlarm(stubOf(job.id));
    expect(await getJob(job.id)).toMatchObject({ status: 'error', error_code: 'job_timeout' });
  });

  it('is woken by the sweep should its alarm be lost', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const job = await createJob();
    await ticketOf(job.id);
    await runInDurableObject(stubOf(job.id), (_, state) => state.storage.deleteAlarm());
    later(6 * 60 * MINUTE + 1);
    await sweepNow();
    const row = await until(() =>
      env.DB.prepare("SELECT * FROM export_jobs WHERE id = ? AND status = 'error'")
        .bind(job.id)
        .first(),
    );
    expect(row).toMatchObject({ error: 'The export took longer than it may.' });
  });

  it('is made by the sweep when only its record was written', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { id, options } = await cancelledJob();
    await forget(id);
    const input = { key: 'in/default/x', etag: 'e', size: 1, filename: 'x.mov' };
    await env.DB.prepare(
      `UPDATE export_jobs SET rev = 0, status = 'pending', completed_at = NULL, look_at = ?, request = ?
       WHERE id = ?`,
    )
      .bind(Date.now(), JSON.stringify({ input, options }), id)
      .run();
    later(1);
    await sweepNow();
    expect(await getJob(id)).toMatchObject({ status: 'pending', filename: 'x.mov' });
  });

  it('is swept though the record of another one cannot be read', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const [broken, lost] = [await cancelledJob(), await createJob()];
    await env.DB.prepare(
      "UPDATE export_jobs SET status = 'pending', look_at = 0, request = '{' WHERE id = ?",
    )
      .bind(broken.id)
      .run();
    later(7 * 60 * MINUTE);
    await sweepNow();
    await until(() =>
      env.DB.prepare("SELECT 1 FROM export_jobs WHERE id = ? AND status = 'error'")
        .bind(lost.id)
        .first(),
    );
  });

  it('gets its alarm back on the next touch, and with it what it waited for', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    provider.answers.push(() => new Response('', { status: 503 }));
    const job = await createJob();
    await until(() => provider.answers.length === 0);
    await runInDurableObject(stubOf(job.id), (_, state) => state.storage.deleteAlarm());
    await evict(job.id);
    later(3 * MINUTE);
    await getJob(job.id);
    await runDurableObjectAlarm(stubOf(job.id));
    await ticketOf(job.id);
  });
});

describe('a job that has ended', () => {
  const lookAt = (id: string) =>
    env.DB.prepare('SELECT look_at FROM export_jobs WHERE id = ?').bind(id).first('look_at');

  it('still stops its renderer though the alarm was lost: the sweep sees to it (I5b)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job } = await rendering();
    provider.answers.push(() => new Response('', { status: 503 }));
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    await until(() => provider.answers.length === 0);
    await until(async () => (await lookAt(job.id)) !== null);
    await runInDurableObject(stubOf(job.id), (_, state) => state.storage.deleteAlarm());
    await evict(job.id);
    later(5 * MINUTE);
    await sweepNow();
    await runDurableObjectAlarm(stubOf(job.id));
    await until(() => provider.stopped.length === 1);
    expect(await settled(job.id)).toBe(true);
  });

  it('is left alone by the sweep once it owes nothing (I6b)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, renderer } = await rendering();
    await renderer.putOutput('file');
    await renderer.complete('file');
    await until(async () => (await lookAt(job.id)) === null);
    const woken = vi.spyOn(env.EXPORT_JOB, 'getByName');
    later(60 * MINUTE);
    await sweepNow();
    expect(woken).not.toHaveBeenCalledWith(job.id);
  });

  it('is forgotten after its retention though the alarm was lost, once somebody asks for it (I22)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { id } = await cancelledJob();
    await runInDurableObject(stubOf(id), (_, state) => state.storage.deleteAlarm());
    await evict(id);
    later(7 * 24 * 60 * MINUTE + 30 * MINUTE);
    await getJob(id);
    await runDurableObjectAlarm(stubOf(id));
    expect(await keptOf(id)).toBeNull();
  });

  it('is forgotten though the provider never took its stop: by then that is pointless (I22)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { id } = await cancelledJob();
    await runInDurableObject(stubOf(id), (_, { storage }) => {
      const kept = readKept(storage);
      const stop = { key: 'stop:x', version: 1, due: null, tries: 9, running: false, reason: 'no' };
      if (kept) writeKept(storage, { ...kept, outbox: [stop] });
    });
    await evict(id);
    later(7 * 24 * 60 * MINUTE + 30 * MINUTE);
    await runDurableObjectAlarm(stubOf(id));
    expect(provider.stopped).not.toContain('x');
    expect(await keptOf(id)).toBeNull();
  });

  it('whose object is gone, though D1 was not told, is looked at once more and no longer', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { id } = await cancelledJob();
    await forget(id);
    await env.DB.prepare('UPDATE export_jobs SET look_at = 1 WHERE id = ?').bind(id).run();
    await sweepNow();
    await until(async () => (await lookAt(id)) === null);
  });
});

describe('a change that would break an invariant', () => {
  it('is refused, and tried again after a while, not at once', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job } = await rendering();
    await runInDurableObject(stubOf(job.id), (object) => {
      const refusal = { kind: 'refused', code: 'internal_error' } as const;
      const apply = vi.spyOn(JobEngine.prototype, 'apply').mockReturnValue(refusal);
      return object.alarm().finally(() => apply.mockRestore());
    });
    expect(await armedAt(job.id)).toBeGreaterThan(Date.now() + 30_000);
  });

  it('a lowered limit is none: the job ends as the new one says (I6, I10)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job } = await rendering();
    await runInDurableObject(stubOf(job.id), (_, { storage }) => {
      const kept = readKept(storage);
      if (kept) writeKept(storage, { ...kept, job: { ...kept.job, failures: 4 } });
    });
    await evict(job.id);
    later(7 * 60 * MINUTE);
    for (let n = 0; n < 3; n += 1) await runDurableObjectAlarm(stubOf(job.id));
    expect(await getJob(job.id)).toMatchObject({ status: 'error', error_code: 'job_timeout' });
  });
});

describe('an alarm that fails', () => {
  it('does not reject, and is tried again after a while, not at once', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job } = await rendering();
    later(91_000);
    const broken = vi.spyOn(JobEngine.prototype, 'apply').mockImplementation(() => {
      throw new Error('disk full');
    });
    await runDurableObjectAlarm(stubOf(job.id));
    expect(await armedAt(job.id)).toBeGreaterThan(Date.now() + 30_000);
    broken.mockRestore();
    later(MINUTE);
    await runDurableObjectAlarm(stubOf(job.id));
    expect(await getJob(job.id)).toMatchObject({ attempt: 2 });
  });
});

/** A job that has ended, with nothing left to happen anywhere. */
async function cancelledJob() {
  const job = await createJob();
  await ticketOf(job.id);
  await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
  await until(() =>
    env.DB.prepare("SELECT 1 FROM export_jobs WHERE id = ? AND status = 'cancelled'")
      .bind(job.id)
      .first(),
  );
  await until(() => settled(job.id));
  return job;
}

/** Whether an ended job owes nothing but the mirror. */
async function settled(id: string): Promise<boolean> {
  return (await stubOf(id).wake()) === null;
}

function keptOf(id: string) {
  return runInDurableObject(stubOf(id), (_, { storage }) => readKept(storage));
}

async function forget(id: string): Promise<void> {
  await runInDurableObject(stubOf(id), (_, state) => state.storage.deleteAll());
  await evict(id);
}

async function sweepNow(): Promise<void> {
  const ctx = createExecutionContext();
  await worker.scheduled(createScheduledController(), env);
  await waitOnExecutionContext(ctx);
}

describe('what must happen elsewhere', () => {
  it('D1 down: the job goes on, and the mirror catches up by itself (I5, S8)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, renderer } = await rendering();
    await env.DB.exec('ALTER TABLE export_jobs RENAME TO away');
    expect((await renderer.putOutput('file')).status).toBe(200);
    expect((await renderer.complete('file')).status).toBe(200);
    const viewer = await Viewer.open(job.id);
    await viewer.last('complete');
    await env.DB.exec('ALTER TABLE away RENAME TO export_jobs');
    const row = () =>
      env.DB.prepare('SELECT status FROM export_jobs WHERE id = ?').bind(job.id).first('status');
    expect(await row()).toBe('processing');
    later(MINUTE);
    await runDurableObjectAlarm(stubOf(job.id));
    await until(async () => (await row()) === 'complete');
    // Else it would be carried out again each time that the object wakes.
    await until(async () => (await keptOf(job.id))?.outbox.length === 0);
  });

  it('a late write never puts an older state over a newer one (S10)', async () => {
    const { job, renderer } = await rendering();
    await renderer.putOutput('file');
    await Promise.all([renderer.progress(99), renderer.complete('file')]);
    const done = await getJob(job.id);
    const row = () =>
      env.DB.prepare('SELECT rev, status FROM export_jobs WHERE id = ?').bind(job.id).first();
    await until(async () => (await row())?.['status'] === 'complete');
    const older = { ...jobIn('running'), id: job.id, tenant: 'default', seq: done.seq - 1 };
    const write = (late: typeof older) =>
      mirrorToD1(env.DB, { job: late, view: { ...job, seq: late.seq }, log: [], lookAt: null });
    await write(older);
    expect(await row()).toEqual({ rev: done.seq, status: 'complete' });
    const foreign = { ...older, tenant: 'someone-else', seq: done.seq + 1 };
    await write(foreign);
    expect(await row()).toEqual({ rev: done.seq, status: 'complete' });
  });

  it('the provider down: the hand-over is tried again until it is taken', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    provider.answers.push(
      () => Promise.reject(new Error('connection refused')),
      () => new Response('', { status: 503 }),
      () => new Response('', { status: 429, headers: { 'retry-after': '7' } }),
    );
    const job = await createJob();
    for (let i = 0; i < 3; i += 1) {
      await until(() => provider.answers.length === 2 - i);
      expect(await getJob(job.id)).toMatchObject({ status: 'pending', attempt: 1 });
      later(2 * MINUTE);
      await runDurableObjectAlarm(stubOf(job.id));
    }
    expect((await ticketOf(job.id)).input.attempt).toBe(1);
  });

  it.each([401, 404])(
    'the provider answers %d: nothing was taken, and it is tried again',
    async (status) => {
      vi.useFakeTimers({ toFake: ['Date'] });
      provider.answers.push(...Array.from({ length: 9 }, () => () => new Response('', { status })));
      const job = await createJob();
      for (let left = 8; left >= 0; left -= 1) {
        await until(() => provider.answers.length === left);
        later(2 * MINUTE);
        await runDurableObjectAlarm(stubOf(job.id));
      }
      expect((await ticketOf(job.id)).input.attempt).toBe(1);
    },
  );

  it('the provider refuses for good: the job ends after its budget, with the reason', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    provider.answers.push(
      ...Array.from({ length: 6 }, () => () => new Response('', { status: 400 })),
    );
    const job = await createJob();
    for (let i = 0; i < 6; i += 1) {
      await until(() => provider.answers.length <= 5 - i);
      later(5 * MINUTE);
      await runDurableObjectAlarm(stubOf(job.id));
    }
    expect(await getJob(job.id)).toMatchObject({ status: 'error', error_code: 'dispatch_failed' });
  });

  it('a job that is cancelled before it was handed over is not handed over (I14)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    provider.answers.push(() => new Response('', { status: 503 }));
    const job = await createJob();
    await until(() => provider.answers.length === 0);
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    later(2 * MINUTE);
    await runDurableObjectAlarm(stubOf(job.id));
    expect(provider.tickets).toEqual([]);
  });
});

describe('a renderer that dies after its upload', () => {
  it('has not worked for nothing: the job takes the file that it left (I12)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, renderer } = await rendering();
    await renderer.putOutput('finished');
    for (let leases = 0; leases < 2; leases += 1) {
      await evict(job.id);
      later(91_000);
      await runDurableObjectAlarm(stubOf(job.id));
    }
    const done = await until(async () => {
      const seen = await getJob(job.id);
      return seen.status === 'complete' ? seen : null;
    });
    expect(done).toMatchObject({ verified: true, output: { size: 8, frames: 24 } });
    expect(await textOf(await call(urlOf(done)))).toBe('finished');
    expect(provider.tickets).toHaveLength(1);
  });

  it('waits for R2 if that is away, and takes it from the attempt that follows', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, renderer } = await rendering();
    await renderer.putOutput('finished');
    const head = vi.spyOn(env.VIDEOS, 'head').mockRejectedValue(new Error('away'));
    later(91_000);
    await runDurableObjectAlarm(stubOf(job.id));
    later(3000);
    await runDurableObjectAlarm(stubOf(job.id));
    const second = await FakeRenderer.claims(job.id, 2);
    head.mockRestore();
    later(MINUTE);
    await runDurableObjectAlarm(stubOf(job.id));
    await until(async () => (await getJob(job.id)).status === 'complete');
    expect(await problemOf(await second.progress(50))).toMatchObject({ code: 'job_finished' });
    await until(() => provider.stopped.includes(second.id));
  });

  it('leaves nothing behind when another attempt wins', async () => {
    const { job, renderer } = await rendering();
    await renderer.putOutput('first');
    await renderer.error('encoder_failed');
    const second = await FakeRenderer.claims(job.id, 2);
    await second.putOutput('second');
    await second.complete('second');
    const left = () => env.VIDEOS.list({ prefix: `out/default/${job.id}/` });
    await until(async () => (await left()).objects.length === 1);
    expect(await textOf(await call(urlOf(await getJob(job.id))))).toBe('second');
  });
});

describe('the end of life (I22, S27)', () => {
  it('the same create again makes no second job, though object and input are gone', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const body = { input: { upload_id: await upload('bytes') } };
    const create = () => post('/api/jobs', body, { 'idempotency-key': 'once' });
    const { job } = v.parse(JobReply, await (await create()).json());
    await ticketOf(job.id);
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    // Its last alarm is armed when all is done.
    await until(async () => ((await armedAt(job.id)) ?? 0) > Date.now() + 60 * MINUTE);
    await forget(job.id);
    await env.VIDEOS.delete(`in/default/${body.input.upload_id}`);
    const again = v.parse(JobReply, await (await create()).json());
    expect(again.job).toMatchObject({ id: job.id, status: 'cancelled' });
    expect(provider.tickets).toHaveLength(1);
    expect(await armedAt(job.id)).toBeNull();
  });

  it('after retention the object forgets everything, and its addresses go on answering', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, renderer } = await rendering();
    await renderer.putOutput('file');
    await renderer.complete('file');
    const before = await getJob(job.id);
    const log = await (await call(`/api/jobs/${job.id}/events`)).text();
    await until(() =>
      env.DB.prepare("SELECT 1 FROM export_jobs WHERE id = ? AND status = 'complete'")
        .bind(job.id)
        .first(),
    );
    later(7 * 24 * 60 * MINUTE + 1);
    await runDurableObjectAlarm(stubOf(job.id));
    const size = await runInDurableObject(
      stubOf(job.id),
      async (_, state) => (await state.storage.list()).size,
    );
    expect(size).toBe(0);
    expect(await armedAt(job.id)).toBeNull();
    const after = await getJob(job.id);
    expect(after).toEqual({ ...before, output_url: urlOf(after) });
    expect(await textOf(await call(urlOf(after)))).toBe('file');
    expect((await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' })).status).toBe(409);
    expect(await (await call(`/api/jobs/${job.id}/events`)).text()).toBe(log);
    const viewer = await Viewer.open(job.id);
    await viewer.last('complete');
    expect(viewer.heard.map(({ type }) => type)).toEqual(['status', 'complete']);
    // By now the token of the attempt has expired too.
    expect((await renderer.progress(50)).status).toBe(401);
    expect(await armedAt(job.id)).toBeNull();
  });
});
