import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it, vi } from 'vitest';
import { readKept } from '../src/durable-objects/kept.ts';
import {
  FakeRenderer,
  Viewer,
  call,
  createJob,
  evict,
  getJob,
  later,
  playProvider,
  problemOf,
  stubOf,
  until,
  urlOf,
} from './harness.ts';

// The renderer's socket: the calls of the contract, their fences, and what is pushed unasked.

playProvider();
const FILE = 'the film';

async function rendering() {
  vi.useFakeTimers({ toFake: ['Date'] });
  const job = await createJob();
  const renderer = await FakeRenderer.claims(job.id);
  return { job, renderer, channel: await renderer.connect() };
}

function keptOf(id: string) {
  return runInDurableObject(stubOf(id), (_, { storage }) => readKept(storage));
}

describe('the renderer’s socket', () => {
  it('carries a whole attempt: reports, completion, and what viewers hear of it', async () => {
    const { job, renderer, channel } = await rendering();
    const viewer = await Viewer.open(job.id);
    const pace = { lease_ms: 90_000, next_report_ms: 1000 };
    expect(await channel.progress(12.5, { stage: 'rendering', fps: 30 })).toMatchObject({
      type: 'ack',
      ...pace,
    });
    expect(await viewer.last('progress')).toMatchObject({ progress: 12.5, fps: 30, attempt: 1 });
    await renderer.putOutput(FILE);
    expect(await channel.complete(FILE)).toEqual({ type: 'ack', seq: renderer.seq });
    expect(await viewer.last('complete')).toMatchObject({ job: { verified: true } });
    expect(channel.heard.filter(({ type }) => type === 'stop')).toEqual([]);
    expect(urlOf(await getJob(job.id))).toContain('/api/videos/download/');
  });

  it('tells of an error as the POST does, and the same call again changes nothing (I15)', async () => {
    const { job, channel, renderer } = await rendering();
    const failed = { error: 'it broke', code: 'encoder_failed' };
    expect(await channel.say('error', failed)).toMatchObject({ type: 'ack', retrying: true });
    expect(await channel.say('error', failed)).toMatchObject({ type: 'ack', retrying: true });
    expect((await renderer.error('encoder_failed')).status).toBe(200);
    expect(await getJob(job.id)).toMatchObject({ attempt: 2, status: 'pending' });
  });

  it('remembers a report that comes with the connection', async () => {
    const { job, channel } = await rendering();
    await channel.progress(10, { stage: 'rendering' });
    await evict(job.id);
    expect(await getJob(job.id)).toMatchObject({ progress: 10, stage: 'rendering' });
  });

  it('refuses what the POST refuses, in the same words', async () => {
    const { channel } = await rendering();
    expect(await channel.complete('never stored')).toMatchObject({
      type: 'refused',
      problem: { code: 'output_rejected', status: 422 },
    });
  });

  it('keeps a report through a sleep of the object, for viewers and for its lease (I2, I6)', async () => {
    const { job, channel } = await rendering();
    const sleep = async (ms: number) => {
      await evict(job.id);
      later(ms);
      await runDurableObjectAlarm(stubOf(job.id));
    };
    await sleep(20_000);
    const rows = (await keptOf(job.id))?.usage.rows;
    later(60_000);
    await channel.progress(42);
    await sleep(80_000);
    expect(await getJob(job.id)).toMatchObject({ attempt: 1, progress: 42, stage: 'starting' });
    const viewer = await Viewer.open(job.id);
    expect(await viewer.last('status')).toMatchObject({ progress: 42 });
    await evict(job.id);
    await channel.progress(41);
    expect(await viewer.last('progress')).toMatchObject({ progress: 42 });
    // The alarm was armed again, and nothing else was written.
    expect((await keptOf(job.id))?.usage.rows).toBe(rows);
  });

  it('numbers a report by its permille, so that who saw more is shown no less (I4)', async () => {
    const { job, renderer, channel } = await rendering();
    const viewer = await Viewer.open(job.id);
    await channel.progress(42);
    const { seq } = await until(() => viewer.events.find(({ type }) => type === 'progress'));
    // The object is killed with all of its sockets: what was reported is known to nobody but viewers.
    channel.socket.close(1000);
    await runInDurableObject(stubOf(job.id), (_, state) => {
      for (const socket of state.getWebSockets('renderer')) socket.serializeAttachment(null);
    });
    await evict(job.id);
    const again = await Viewer.open(job.id, `?since=${seq}`);
    expect(await again.last('status')).toMatchObject({ progress: 42, seq });
    await renderer.progress(42.5);
    expect(await again.last('progress')).toMatchObject({ progress: 42.5, seq: seq + 5 });
  });

  it('hears at once that somebody watches, and that nobody does any more', async () => {
    const { job, channel } = await rendering();
    expect(await channel.progress(1)).toMatchObject({ next_report_ms: 30_000 });
    const viewer = await Viewer.open(job.id);
    expect(await channel.told('pace')).toMatchObject({ next_report_ms: 1000 });
    viewer.socket.close(1000);
    await until(() => channel.heard.find((n) => n.type === 'pace' && n.next_report_ms === 30_000));
  });

  it('hears at once that its job was cancelled, and is closed', async () => {
    const { job, channel } = await rendering();
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    expect(await channel.told('stop')).toMatchObject({ code: 'job_finished' });
    expect(await until(() => channel.closed)).toMatchObject({ code: 4410 });
  });

  it('of a process that was fenced is closed, and that of the new owner is not (I3)', async () => {
    const { job, renderer, channel } = await rendering();
    const second = new FakeRenderer({ id: renderer.id, input: renderer.ticket });
    await second.claim();
    expect(await channel.told('stop')).toMatchObject({ code: 'not_owner' });
    const next = await second.connect();
    expect(await next.progress(5)).toMatchObject({ type: 'ack' });
    expect(await getJob(job.id)).toMatchObject({ progress: 5, attempt: 1 });
    await expect(renderer.connect()).rejects.toThrow('not_owner');
  });

  it('that is opened again takes the place of the older one', async () => {
    const { job, renderer, channel } = await rendering();
    await channel.progress(10);
    const next = await renderer.connect();
    await until(() => channel.closed);
    await evict(job.id);
    expect(await next.progress(11)).toMatchObject({ type: 'ack' });
    expect(await getJob(job.id)).toMatchObject({ progress: 11 });
  });

  it('that closes leaves the attempt its lease, and no more (I6)', async () => {
    const { job, channel } = await rendering();
    later(60_000);
    await channel.progress(10);
    channel.socket.close(1000);
    await until(async () => {
      const kept = (await keptOf(job.id))?.job;
      return kept?.state === 'running' && kept.askAt !== null;
    });
    await evict(job.id);
    later(89_000);
    await runDurableObjectAlarm(stubOf(job.id));
    expect(await getJob(job.id)).toMatchObject({ attempt: 1, progress: 10 });
    later(1000);
    expect(await getJob(job.id)).toMatchObject({ attempt: 2 });
  });

  it.each([
    ['no JSON', '{'],
    ['no call', '{"type":"claim"}'],
    ['no number', '{"type":"progress","epoch":1,"progress":5}'],
    ['too much', JSON.stringify({ type: 'error', epoch: 1, seq: 1, error: 'x'.repeat(70_000) })],
  ])('that says %s is closed, and its job stays as it is (S7)', async (_, text) => {
    const { job, channel } = await rendering();
    const before = await getJob(job.id);
    channel.socket.send(text);
    expect(await until(() => channel.closed)).toMatchObject({ code: 1007 });
    expect(await getJob(job.id)).toEqual(before);
  });

  it('is for the owner of the attempt alone', async () => {
    const { job, renderer } = await rendering();
    const path = `/api/jobs/${job.id}/renderer?epoch=1`;
    const upgrade = { upgrade: 'websocket' };
    expect((await call(path, { headers: upgrade })).status).toBe(401);
    const wrong = { ...upgrade, 'sec-websocket-protocol': 'render.v1, bearer.ej1.k1.e30.x' };
    expect((await call(path, { headers: wrong })).status).toBe(401);
    expect((await call(path, { headers: renderer.auth })).status).toBe(426);
    const other = await createJob();
    const foreign = { ...upgrade, ...renderer.auth };
    expect(
      (await call(`/api/jobs/${other.id}/renderer?epoch=1`, { headers: foreign })).status,
    ).toBe(401);
    const late = await call(path.replace('epoch=1', 'epoch=2'), { headers: foreign });
    expect(await problemOf(late)).toMatchObject({ code: 'not_owner', stop: true });
    const none = await call(path.replace('epoch=1', 'epoch=-1'), { headers: foreign });
    expect(await problemOf(none)).toMatchObject({ code: 'invalid_query' });
  });
});
