import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { ReportReply } from '@export-jobs/protocol';
import type { ExportJob, JobMessage } from '@export-jobs/protocol';
import * as v from 'valibot';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_FEED_VIEWERS } from '../src/durable-objects/feed-viewers.ts';
import { FeedReader, feedStub, hangUp, viewersAt } from './feed-reader.ts';
import {
  FakeRenderer,
  call,
  createJob,
  evict,
  getJob,
  playProvider,
  stubOf,
  until,
} from './harness.ts';

// The feed of an owner with many jobs under way, or many viewers.

playProvider();

beforeEach(async () => {
  await env.DB.exec('DELETE FROM export_jobs');
  await hangUp();
  // It remembers for minutes that others had viewers, and they that they told it.
  await runInDurableObject(feedStub(), (_, state) => state.storage.deleteAll());
  await runInDurableObject(feedStub(1), (_, state) => state.storage.deleteAll());
  await evictDurableObject(feedStub());
  await evictDurableObject(feedStub(1));
});

/** The first object has no room afterwards. */
async function fill(): Promise<FeedReader[]> {
  const all: FeedReader[] = [];
  while (all.length < MAX_FEED_VIEWERS) {
    const some = Array.from({ length: 100 }, () => FeedReader.openThere('&tag=nobody'));
    all.push(...(await Promise.all(some)));
  }
  return all;
}

/** So many more jobs like this one, as D1 knows them. */
async function multiply(id: string, count: number): Promise<void> {
  await until(() =>
    env.DB.prepare('SELECT 1 FROM export_jobs WHERE id = ? AND view IS NOT NULL').bind(id).first(),
  );
  await env.DB.prepare(
    `WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?2)
     INSERT INTO export_jobs (id, tenant, rev, status, progress, created_at, updated_at, deadline_at,
       request_hash, written_at, view)
     SELECT id || i, tenant, rev, status, progress, created_at + i, updated_at, deadline_at, request_hash,
       written_at, json_set(view, '$.id', id || i)
     FROM export_jobs, n WHERE id = ?1`,
  )
    .bind(id, count)
    .run();
}

/** A report of a job that is being processed. */
function reportOf(job: ExportJob): Extract<JobMessage, { type: 'progress' }> {
  if (job.status !== 'processing') throw new Error(`it is ${job.status}`);
  const { id: job_id, seq, attempt, stage, fps, speed, eta_ms, eta_p90_ms, updated_at } = job;
  const hints = { fps, speed, eta_ms, eta_p90_ms, overall_progress: 33 };
  return { type: 'progress', job_id, seq, attempt, stage, progress: 33, updated_at, ...hints };
}

/** A job that is being processed, as D1 knows. */
async function running(): Promise<{ id: string; renderer: FakeRenderer }> {
  const { id } = await createJob();
  const renderer = await FakeRenderer.claims(id);
  await until(() =>
    env.DB.prepare("SELECT 1 FROM export_jobs WHERE id = ? AND status = 'processing'")
      .bind(id)
      .first(),
  );
  return { id, renderer };
}

describe('a feed with more viewers than one object takes', () => {
  it('has another object for them, where all is heard: what there is, changes, reports, the end, a deletion', async () => {
    const { id, renderer } = await running();
    await fill();
    const late = await FeedReader.open();
    expect(await viewersAt(0)).toBe(MAX_FEED_VIEWERS);
    expect(await viewersAt(1)).toBe(1);
    expect(late.of(id)).toEqual(['processing']);
    await until(async () => (await renderer.progress(10)).ok && late.of(id).includes(10));
    const { id: second } = await createJob();
    await until(() => late.of(second).includes('pending'));
    await renderer.putOutput('file');
    await renderer.complete('file');
    await until(() => late.of(id).at(-1) === 'complete');
    await call(`/api/jobs/${id}`, { method: 'DELETE' });
    await until(() => late.of(id).at(-1) === 'deleted');
  });

  it('has the jobs report for those of another object alone, also when the first one was restarted', async () => {
    const { id, renderer } = await running();
    const crowd = await fill();
    const late = await FeedReader.open();
    for (const { socket } of crowd) socket.close(1000);
    await until(async () => (await viewersAt(0)) === 0);
    await evictDurableObject(feedStub());
    await until(async () => (await renderer.progress(20)).ok && late.of(id).includes(20));
  });

  it('has jobs asked for their reports though nobody is left at the first object', async () => {
    const before = await FeedReader.openThere();
    const { id, renderer } = await running();
    await until(() => before.of(id).includes('processing'));
    await hangUp();
    await evict(id);
    // Nobody wants its reports, and no answer of the feed to what it told is on its way.
    const channel = await renderer.connect();
    expect(await channel.progress(1)).toMatchObject({ next_report_ms: 30_000 });
    const from = performance.now();
    await feedStub().join('default', 1, Date.now() + 60_000);
    expect(await channel.told('pace')).toMatchObject({ next_report_ms: 1000 });
    // Later the job may ask by itself, when it tells again of what it did before it was taken out of memory.
    expect(performance.now() - from).toBeLessThan(10_000);
  });

  it('reads D1 a few times for hundreds who come at once', async () => {
    const { id } = await createJob();
    await FeedReader.open();
    const reads = vi.spyOn(env.DB, 'prepare');
    const all = await Promise.all(Array.from({ length: 200 }, () => FeedReader.openThere()));
    await Promise.all(all.map((reader) => reader.ready()));
    expect(all.every((reader) => reader.of(id).includes('pending'))).toBe(true);
    expect(reads.mock.calls.length).toBeGreaterThan(0);
    expect(reads.mock.calls.length).toBeLessThan(50);
    reads.mockRestore();
  });
});

describe('a feed that some listen to singly', () => {
  it('tells the others of a change without waiting for those', async () => {
    const { id, renderer } = await running();
    const some = await Promise.all(Array.from({ length: 300 }, () => FeedReader.openThere()));
    await Promise.all(some.map((reader) => reader.ready()));
    await multiply(id, 300);
    const job = await getJob(id);
    const quick = await FeedReader.openThere('&batch=1');
    await quick.ready();
    // 90,000 frames for those who listen singly, for which they have 18 seconds.
    const report = reportOf(job);
    const told = Array.from({ length: 300 }, (_, n) =>
      feedStub().report({ ...report, job_id: `${id}${n + 1}` }, []),
    );
    await Promise.all(told);
    await renderer.putOutput('file');
    await renderer.complete('file');
    await until(() => quick.of(id).includes('complete'));
    const isTold = (n: number) => some[0]?.of(`${id}${n}`).includes(report.progress);
    expect(Array.from({ length: 300 }, (_, n) => isTold(n + 1))).toContain(false);
    expect(quick.of(`${id}300`)).toContain(report.progress);
  });
});

describe('a feed with many jobs under way', () => {
  it('tells a newcomer of all of them, newest first', async () => {
    const { id } = await createJob();
    await multiply(id, 1200);
    const { heard } = await FeedReader.open();
    const told = heard.flatMap((message) => ('job_id' in message ? [message.job_id] : []));
    expect(told[0]).toBe(`${id}1200`);
    expect(new Set(told).size).toBe(1201);
  });

  it('has each report less often, so that all of them together do not more than 200 times a second', async () => {
    const { id } = await running();
    await multiply(id, 599);
    const few = await feedStub().publish(await getJob(id));
    expect(few.everyMs).not.toBe(3000);
    await FeedReader.open();
    await until(async () => (await feedStub().publish(await getJob(id))).everyMs === 3000);
  });

  it('has a renderer report no less often by POST than it must to learn that it is to stop', async () => {
    const { id, renderer } = await running();
    const wanted = { until: Date.now() + 60_000, everyMs: 10_000 };
    const channel = await renderer.connect();
    // Before each, for the feed, at which nobody is, says after a report that it wants none.
    await stubOf(id).reportToFeed(wanted);
    expect(await channel.progress(1)).toMatchObject({ next_report_ms: 10_000 });
    await stubOf(id).reportToFeed(wanted);
    const posted = v.parse(ReportReply, await (await renderer.progress(2)).json());
    expect(posted.next_report_ms).toBe(5000);
  });
});

// The last one, for the object cannot be taken out of memory afterwards.
describe('a feed whose database does not answer', () => {
  it('sends those away who wait for it, and is there for the next', async () => {
    await createJob();
    const statement = env.DB.prepare('SELECT 1');
    vi.spyOn(statement, 'bind').mockReturnValue(statement);
    vi.spyOn(statement, 'all').mockReturnValue(new Promise(() => undefined));
    vi.spyOn(env.DB, 'prepare').mockReturnValueOnce(statement);
    const [first, next] = [await FeedReader.openThere(), await FeedReader.openThere()];
    expect(await until(() => first.closed)).toBe(1011);
    await next.ready();
  });
});
