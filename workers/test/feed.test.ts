import { runDurableObjectAlarm } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { CreateReply, FeedTokenReply } from '@export-jobs/protocol';
import type { ExportJob } from '@export-jobs/protocol';
import * as v from 'valibot';
import { beforeEach, describe, expect, it } from 'vitest';
import { FeedReader, feedStub, hangUp } from './feed-reader.ts';
import {
  FakeRenderer,
  call,
  createJob,
  evict,
  playProvider,
  post,
  problemOf,
  until,
  upload,
} from './harness.ts';

// One socket for all jobs of an owner.

playProvider();

beforeEach(async () => {
  await env.DB.exec('DELETE FROM export_jobs');
  await hangUp();
});

async function labelled(tag: string): Promise<ExportJob> {
  const body = { input: { upload_id: await upload('bytes') }, tags: [tag] };
  const reply = await post('/api/jobs', body);
  return v.parse(CreateReply, await reply.json()).job;
}

async function finish(renderer: FakeRenderer): Promise<void> {
  await renderer.putOutput('file');
  await renderer.complete('file');
}

describe('the feed of an owner', () => {
  it('tells of every job: what there is, each change, each report, the end', async () => {
    const first = await createJob();
    const feed = await FeedReader.open();
    expect(feed.of(first.id)).toEqual(['pending']);
    const second = await createJob();
    const [one, two] = [await FakeRenderer.claims(first.id), await FakeRenderer.claims(second.id)];
    await until(() => feed.of(second.id).includes('processing'));
    await until(() => feed.of(first.id).includes('processing'));
    await until(async () => (await one.progress(10)).ok && feed.of(first.id).includes(10));
    await finish(one);
    await finish(two);
    await until(() => feed.of(first.id).at(-1) === 'complete');
    await until(() => feed.of(second.id).at(-1) === 'complete');
  });

  it('tells who comes back what changed meanwhile, and of nothing else', async () => {
    const [gone, stays] = [await createJob(), await createJob()];
    const renderer = await FakeRenderer.claims(gone.id);
    const [feed, witness] = [await FeedReader.open(), await FeedReader.open()];
    const since = await feed.ready();
    feed.socket.close(1000);
    await finish(renderer);
    // D1 has it then, and nobody is told of it again.
    await until(() => witness.of(gone.id).at(-1) === 'complete');
    const again = await FeedReader.open(`?since=${since}`);
    expect(again.of(gone.id)).toEqual(['complete']);
    expect(again.of(stays.id)).toEqual(['pending']);
    const fresh = await FeedReader.open();
    expect(fresh.of(gone.id)).toEqual([]);
  });

  it('of one tag tells of its jobs alone', async () => {
    const feed = await FeedReader.open('?tag=mine');
    const [mine, other] = [await labelled('mine'), await labelled('other')];
    await Promise.all([FakeRenderer.claims(mine.id), FakeRenderer.claims(other.id)]);
    await until(() => feed.of(mine.id).includes('processing'));
    expect(feed.of(other.id)).toEqual([]);
  });

  it('has running jobs report as often as to a viewer of their own, from the moment it is opened', async () => {
    const job = await createJob();
    const renderer = await FakeRenderer.claims(job.id);
    const channel = await renderer.connect();
    expect(await channel.progress(1)).toMatchObject({ next_report_ms: 30_000 });
    await until(() =>
      env.DB.prepare("SELECT 1 FROM export_jobs WHERE id = ? AND status = 'processing'")
        .bind(job.id)
        .first(),
    );
    await FeedReader.open();
    expect(await channel.told('pace')).toMatchObject({ next_report_ms: 1000 });
    expect(await channel.progress(2)).toMatchObject({ next_report_ms: 1000 });
  });

  it('reminds jobs that have forgotten it', async () => {
    const job = await createJob();
    const renderer = await FakeRenderer.claims(job.id);
    await until(() =>
      env.DB.prepare("SELECT 1 FROM export_jobs WHERE id = ? AND status = 'processing'")
        .bind(job.id)
        .first(),
    );
    const feed = await FeedReader.open();
    await evict(job.id);
    await runDurableObjectAlarm(feedStub());
    await until(async () => (await renderer.progress(33)).ok && feed.of(job.id).includes(33));
  });

  it('moves the cursor on while somebody watches, and tells again what changed since the last time', async () => {
    const job = await createJob();
    const feed = await FeedReader.open();
    const first = await feed.ready();
    await finish(await FakeRenderer.claims(job.id));
    await until(() => feed.of(job.id).at(-1) === 'complete');
    const told = feed.heard.length;
    await runDurableObjectAlarm(feedStub());
    const last = await until(() => {
      const message = feed.heard.at(-1);
      return feed.heard.length > told && message?.type === 'ready' ? message : null;
    });
    expect(last.cursor).toBeGreaterThan(first);
    expect(feed.heard.slice(told)).toEqual([
      expect.objectContaining({ job_id: job.id, status: 'complete' }),
      last,
    ]);
  });

  it('is for its owner, or who has a token of it', async () => {
    const made = await post('/api/feed/tokens', {});
    const { feed_token, expires_at } = v.parse(FeedTokenReply, await made.json());
    expect(made.status).toBe(201);
    expect(expires_at).toBeGreaterThan(Date.now());
    const opened = await call('/api/feed', {
      headers: {
        upgrade: 'websocket',
        'sec-websocket-protocol': `export.v1, bearer.${feed_token}`,
      },
    });
    expect(opened.status).toBe(101);
    opened.webSocket?.accept();
    opened.webSocket?.close(1000);
    expect((await call('/api/feed')).status).toBe(426);
    const evil = await call('/api/feed', {
      headers: { upgrade: 'websocket', origin: 'https://evil.example' },
    });
    expect(await problemOf(evil)).toMatchObject({ code: 'origin_not_allowed' });
    const wrong = await call('/api/feed?status=done', { headers: { upgrade: 'websocket' } });
    expect(await problemOf(wrong)).toMatchObject({ code: 'invalid_query' });
  });

  it('closes who talks, and the others hear on (I20)', async () => {
    const [loud, calm] = [await FeedReader.open(), await FeedReader.open()];
    loud.socket.send('hello');
    expect(await until(() => loud.closed)).toBe(1008);
    const { id } = await createJob();
    await FakeRenderer.claims(id);
    await until(() => calm.of(id).includes('processing'));
  });
});
