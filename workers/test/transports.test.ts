import { runDurableObjectAlarm } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { JobMessage, PollReply } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it, vi } from 'vitest';
import {
  FakeRenderer,
  MINUTE,
  Viewer,
  call,
  createJob,
  getJob,
  later,
  playProvider,
  problemOf,
  stubOf,
  ticketOf,
  until,
} from './harness.ts';

// One log, one cursor, every way to watch: sockets, server-sent events, long polls, plain GET.

playProvider();

/** A reader of server-sent events. */
class Stream {
  readonly events: JobMessage[] = [];
  readonly ids: number[] = [];
  isOver = false;
  readonly #abort = new AbortController();
  readonly status: number;

  private constructor(response: Response) {
    this.status = response.status;
    void this.#read(response.body).catch(() => (this.isOver = true));
  }

  static async open(id: string, lastEventId?: number): Promise<Stream> {
    const headers = lastEventId === undefined ? {} : { 'last-event-id': `${lastEventId}` };
    return new Stream(await call(`/api/jobs/${id}/stream`, { headers }));
  }

  leave(): void {
    this.#abort.abort();
  }

  async #read(body: ReadableStream<Uint8Array> | null): Promise<void> {
    let text = '';
    const decoder = new TextDecoder();
    const { signal } = this.#abort;
    for await (const chunk of body ?? []) {
      if (signal.aborted) break;
      text += decoder.decode(chunk, { stream: true });
      const blocks = text.split('\n\n');
      text = blocks.pop() ?? '';
      for (const block of blocks) this.#take(block);
    }
    this.isOver = true;
  }

  #take(block: string): void {
    const field = (name: string) => new RegExp(`^${name}: (.*)$`, 'm').exec(block)?.[1];
    const data = field('data');
    if (data === undefined) return;
    this.events.push(v.parse(JobMessage, JSON.parse(data)));
    this.ids.push(Number(field('id')));
  }
}

async function rendering() {
  const job = await createJob();
  const renderer = new FakeRenderer(await ticketOf(job.id));
  return { job, renderer };
}

async function finish(renderer: FakeRenderer): Promise<void> {
  await renderer.putOutput('file');
  await renderer.complete('file');
}

async function poll(id: string, query: string): Promise<PollReply> {
  const response = await call(`/api/jobs/${id}?${query}`);
  if (response.status !== 200) throw new Error(await response.text());
  return v.parse(PollReply, await response.json());
}

/** Changes of state, by number and status; the end is told once as a state and once as an end. */
const changes = (events: readonly JobMessage[]) =>
  events.flatMap((m) => (m.type === 'progress' ? [] : [`${m.seq} ${m.job.status}`]));

describe('server-sent events', () => {
  it('say what a socket says, in the same order and with the same numbers (I4)', async () => {
    const { job, renderer } = await rendering();
    const stream = await Stream.open(job.id);
    const viewer = await Viewer.open(job.id);
    await until(() => stream.events.length > 0);
    await renderer.claim();
    await renderer.progress(50, { stage: 'rendering' });
    await finish(renderer);
    await viewer.last('complete');
    await until(() => stream.isOver);
    expect(changes(stream.events).slice(-3)).toEqual(changes(viewer.events).slice(-3));
    expect(stream.events.find(({ type }) => type === 'progress')).toMatchObject({ progress: 50 });
    expect(stream.ids).toEqual(stream.events.map(({ seq }) => seq));
    expect(stream.events.at(-1)?.type).toBe('complete');
  });

  it('go on where a reader left, and are over for who has seen the end', async () => {
    const { job, renderer } = await rendering();
    await renderer.claim();
    await renderer.error('encoder_failed');
    const second = await FakeRenderer.claims(job.id, 2);
    await finish(second);
    const stream = await Stream.open(job.id, job.seq);
    await until(() => stream.isOver);
    const numbers = [...new Set(stream.events.map(({ seq }) => seq))];
    expect(numbers).toEqual(Array.from(numbers, (_, i) => job.seq + 1000 * (i + 1)));
    expect((await Stream.open(job.id, stream.ids.at(-1))).status).toBe(204);
  });

  it('of a job that nobody made are refused in production’s words', async () => {
    const answer = await call('/api/jobs/job_x/stream', { headers: { authorization: 'Bearer x' } });
    // In development a viewer may come before the job; the stream is open and silent.
    expect(answer.status).toBe(200);
    await answer.body?.cancel();
  });
});

describe('a long poll', () => {
  it('answers at once with what happened since, state by state', async () => {
    const { job, renderer } = await rendering();
    await renderer.claim();
    await renderer.error('encoder_failed');
    const reply = await poll(job.id, `since=${job.seq}&wait=30`);
    expect(reply.job).toMatchObject({ status: 'pending', attempt: 2 });
    const seen = reply.events.flatMap((m) => ('job' in m ? [m.job.status] : []));
    expect(seen).toEqual(['pending', 'processing', 'pending']);
  });

  it('tells the job as its last event leaves it, reports included', async () => {
    const { job, renderer } = await rendering();
    await renderer.claim();
    await renderer.progress(37, { stage: 'rendering' });
    const { seq } = await getJob(job.id);
    const waiting = poll(job.id, `since=${seq}&wait=30`);
    await until(async () => {
      const status = await stubOf(job.id).status(null);
      return 'connections' in status && status.connections === 1;
    });
    await renderer.progress(52, { stage: 'rendering' });
    const reply = await waiting;
    expect(reply.events).toMatchObject([{ type: 'progress', progress: 52 }]);
    expect(reply.job).toMatchObject({ progress: 52, seq: reply.events.at(-1)?.seq });
  });

  it('waits for the next news and brings it', async () => {
    const { job, renderer } = await rendering();
    await renderer.claim();
    const { seq } = await getJob(job.id);
    const waiting = poll(job.id, `since=${seq}&wait=30`);
    await until(async () => (await stubOf(job.id).status(null)) && true);
    const connections = async () => {
      const status = await stubOf(job.id).status(null);
      return 'connections' in status ? status.connections : 0;
    };
    await until(async () => (await connections()) === 1);
    await renderer.progress(30);
    expect(await waiting).toMatchObject({ events: [{ type: 'progress', progress: 30 }] });
    await until(async () => (await connections()) === 0);
  });

  it('comes back empty when its time is up, or when it may not wait', async () => {
    const { job, renderer } = await rendering();
    await renderer.claim();
    const { seq } = await getJob(job.id);
    expect(await poll(job.id, `since=${seq}&wait=1`)).toMatchObject({ events: [], job: { seq } });
    expect(await poll(job.id, `since=${seq}`)).toMatchObject({ events: [], job: { seq } });
  });

  it.each(['since=x', 'since=-1', 'wait=5', 'since=1&wait=61', 'since=1&x=1'])(
    'refuses ?%s',
    async (query) => {
      const { id } = await createJob();
      expect(await problemOf(await call(`/api/jobs/${id}?${query}`))).toMatchObject({
        code: 'invalid_query',
      });
    },
  );
});

describe('a plain GET', () => {
  it('is 304 for who has the present number', async () => {
    const job = await createJob();
    const first = await call(`/api/jobs/${job.id}`);
    const etag = first.headers.get('etag') ?? '';
    const again = await call(`/api/jobs/${job.id}`, { headers: { 'if-none-match': etag } });
    expect([first.status, again.status, again.headers.get('etag')]).toEqual([200, 304, etag]);
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    const changed = await call(`/api/jobs/${job.id}`, { headers: { 'if-none-match': etag } });
    expect(changed.status).toBe(200);
  });
});

describe('the tag of a plain GET', () => {
  it('changes with each report, and of a finished file the link is always made anew', async () => {
    const { job, renderer } = await rendering();
    await renderer.claim();
    await renderer.progress(5, { stage: 'downloading' });
    const tag = async () => (await call(`/api/jobs/${job.id}`)).headers.get('etag') ?? '';
    const first = await tag();
    vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 1000 });
    await renderer.progress(5, { stage: 'rendering' });
    expect(await tag()).not.toBe(first);
    await finish(renderer);
    const last = await tag();
    const again = await call(`/api/jobs/${job.id}`, { headers: { 'if-none-match': last } });
    expect(again.status).toBe(200);
  });
});

describe('after the object is gone', () => {
  it('the same cursor brings the same messages, by every way (I22)', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, renderer } = await rendering();
    await renderer.claim();
    await finish(renderer);
    const live = await Viewer.open(job.id, `?since=${job.seq}`);
    await live.last('complete');
    await until(() =>
      env.DB.prepare('SELECT 1 FROM export_jobs WHERE id = ? AND log IS NOT NULL')
        .bind(job.id)
        .first(),
    );
    later(7 * 24 * 60 * MINUTE + 1);
    await runDurableObjectAlarm(stubOf(job.id));
    expect(await stubOf(job.id).status(null)).toEqual({ status: 'not_found' });
    const bare = (events: readonly JobMessage[]) => events.map(({ type, seq }) => `${type} ${seq}`);
    const viewer = await Viewer.open(job.id, `?since=${job.seq}`);
    await viewer.last('complete');
    const stream = await Stream.open(job.id, job.seq);
    await until(() => stream.isOver);
    const { events } = await poll(job.id, `since=${job.seq}&wait=9`);
    expect(bare(viewer.events)).toEqual(bare(live.events));
    expect(bare(stream.events)).toEqual(bare(live.events));
    expect(bare(events)).toEqual(bare(live.events));
  });
});
