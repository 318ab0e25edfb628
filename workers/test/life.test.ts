import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import {
  FakeRenderer,
  Viewer,
  createJob,
  evict,
  getJob,
  playProvider,
  problemOf,
  provider,
  textOf,
  ticketOf,
  until,
  urlOf,
  call,
} from './harness.ts';

// The life of a dispatched job, plain and with the object taken out of memory between any two steps.

playProvider();
const FILE = 'pretend this is a video';

describe.each([
  { name: 'in memory', between: async (_id: string) => undefined },
  { name: 'evicted between any two steps', between: evict },
])('a job $name', ({ between }) => {
  it('goes from its creation to a verified file, and every viewer sees it all (I4)', async () => {
    const job = await createJob({ container: 'webm' });
    expect(job).toMatchObject({
      status: 'pending',
      waiting_for: 'dispatch',
      filename: 'my clip.mov',
    });
    const viewer = await Viewer.open(job.id);
    await viewer.last('status');
    await between(job.id);
    const renderer = new FakeRenderer(await ticketOf(job.id));
    await until(() =>
      viewer.jobs.some((seen) => seen.status === 'pending' && seen.waiting_for === 'renderer'),
    );
    await between(job.id);
    const work = await renderer.claim();
    expect(work).toMatchObject({ epoch: 1, options: { container: 'webm' }, next_report_ms: 1000 });
    await between(job.id);
    const source = await call(new URL(work.source.url).pathname, { headers: renderer.auth });
    expect(await textOf(source)).toBe('the source');
    for (const percent of [0, 10, 50, 99]) {
      await between(job.id);
      expect((await renderer.progress(percent, { stage: 'rendering' })).status).toBe(200);
    }
    await between(job.id);
    expect((await renderer.putOutput(FILE)).status).toBe(200);
    await between(job.id);
    const done = await renderer.complete(FILE);
    expect(await done.json()).toEqual({ success: true });
    await between(job.id);
    const end = await viewer.last('complete');
    expect(end).toMatchObject({ job: { status: 'complete', progress: 100, verified: true } });
    const seqs = viewer.events.map(({ seq }) => seq);
    expect(seqs).toEqual(seqs.toSorted((a, b) => a - b));
    // No change is missing between the first number and the last.
    const changes = [...new Set(seqs.map((seq) => Math.floor(seq / 1000)))];
    expect(changes).toEqual(Array.from(changes, (_, i) => i + (changes[0] ?? 0)));
    const percents = viewer.events.flatMap((m) => ('progress' in m ? [m.progress] : []));
    expect(percents).toEqual(percents.toSorted((a, b) => a - b));
    const file = await call(end.type === 'complete' ? end.output_url : '');
    expect(await textOf(file)).toBe(FILE);
    expect(file.headers.get('content-type')).toBe('video/webm');
    expect(file.headers.get('content-disposition')).toContain('filename="my clip-export.webm"');
  });

  it('that fails is dispatched again with a new token, and the old one is fenced (I3, S17)', async () => {
    const job = await createJob();
    const first = await FakeRenderer.claims(job.id);
    await first.progress(70);
    await between(job.id);
    const failed = await first.error('encoder_failed');
    expect(await failed.json()).toEqual({ success: true, retrying: true });
    await between(job.id);
    // The renderer did not get the answer and repeats itself.
    expect(await (await first.error('encoder_failed')).json()).toEqual({
      success: true,
      retrying: true,
    });
    expect(await getJob(job.id)).toMatchObject({ status: 'pending', attempt: 2, progress: 0 });
    const second = new FakeRenderer(await ticketOf(job.id, 2));
    await between(job.id);
    expect(await problemOf(await first.progress(71))).toMatchObject({
      code: 'stale_attempt',
      stop: true,
    });
    expect(await problemOf(await first.complete(FILE))).toMatchObject({
      code: 'stale_attempt',
      stop: true,
    });
    await second.claim();
    await second.putOutput(FILE);
    expect((await second.complete(FILE)).status).toBe(200);
    expect(await problemOf(await first.progress(72))).toMatchObject({
      code: 'job_finished',
      stop: true,
    });
    expect(await getJob(job.id)).toMatchObject({ status: 'complete', attempt: 2 });
  });

  it('that is cancelled stays so, and its renderer and its provider are told (I1, I14)', async () => {
    const job = await createJob();
    const renderer = await FakeRenderer.claims(job.id);
    await between(job.id);
    const cancelled = await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    expect(await cancelled.json()).toMatchObject({ job: { status: 'cancelled' } });
    await between(job.id);
    expect(await problemOf(await renderer.progress(50))).toMatchObject({
      code: 'job_finished',
      stop: true,
    });
    await renderer.putOutput(FILE).then((late) => expect(late.status).toBe(410));
    expect(await problemOf(await renderer.complete(FILE))).toMatchObject({ code: 'job_finished' });
    await until(() => provider.stopped.includes(renderer.id));
    expect((await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' })).status).toBe(200);
    expect(await getJob(job.id)).toMatchObject({ status: 'cancelled' });
  });
});

describe('who owns an attempt', () => {
  it('a redelivered job fences the older process, whose file cannot win', async () => {
    const job = await createJob();
    const handed = await ticketOf(job.id);
    const older = new FakeRenderer(handed);
    await older.claim();
    const newer = new FakeRenderer(handed);
    expect(await newer.claim()).toMatchObject({ epoch: 2 });
    expect(await problemOf(await older.progress(50))).toMatchObject({
      code: 'not_owner',
      stop: true,
    });
    expect((await older.putOutput('older')).status).toBe(409);
    await newer.putOutput('newer');
    expect((await newer.complete('newer')).status).toBe(200);
    const done = await getJob(job.id);
    expect(await textOf(await call(urlOf(done)))).toBe('newer');
  });

  it('a twin of another hand-over is told to stop (I3b)', async () => {
    const job = await createJob();
    const handed = await ticketOf(job.id);
    await new FakeRenderer(handed).claim();
    const twin = new FakeRenderer({ ...handed, id: 'remote-99' });
    const refused = await twin.post('claim', {
      nonce: twin.nonce,
      provider_job_id: twin.id,
      worker_id: null,
    });
    expect(await problemOf(refused)).toMatchObject({ code: 'not_owner', stop: true });
  });

  it('a claim whose answer was lost can be repeated', async () => {
    const job = await createJob();
    const renderer = new FakeRenderer(await ticketOf(job.id));
    const first = await renderer.claim();
    expect(await renderer.claim()).toEqual(first);
  });

  it('a token opens its own attempt of its own job and nothing else', async () => {
    const [a, b] = [await createJob(), await createJob()];
    const renderer = new FakeRenderer(await ticketOf(a.id));
    const body = { nonce: renderer.nonce, provider_job_id: 'x', worker_id: null };
    const other = await call(`/api/jobs/${b.id}/do/claim`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', ...renderer.auth },
      body: JSON.stringify(body),
    });
    expect(other.status).toBe(401);
    const forged = await call(`/api/jobs/${a.id}/do/claim`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: 'Bearer ej1.k1.e30.AAAA' },
      body: JSON.stringify(body),
    });
    expect(forged.status).toBe(401);
  });

  it('a call by hand may not touch a job that was dispatched (S1)', async () => {
    const job = await createJob();
    await FakeRenderer.claims(job.id);
    const byHand = { headers: { 'content-type': 'application/json' }, method: 'POST' };
    const path = `/api/jobs/${job.id}/do`;
    const complete = await call(`${path}/complete`, {
      ...byHand,
      body: '{"output_video_key":"out/evil"}',
    });
    expect(await problemOf(complete)).toMatchObject({ code: 'not_owner' });
    const error = await call(`${path}/error`, { ...byHand, body: '{"error":"evil"}' });
    expect(await problemOf(error)).toMatchObject({ code: 'not_owner' });
    expect(await getJob(job.id)).toMatchObject({ status: 'processing' });
  });
});

describe('complete means that the file is there (I12, S15)', () => {
  async function claimed() {
    const job = await createJob();
    const renderer = await FakeRenderer.claims(job.id);
    return { job, renderer };
  }

  it('nothing stored, other bytes, another size, another key or no manifest are rejected', async () => {
    const { job, renderer } = await claimed();
    const rejected = async (response: Response) =>
      expect(await problemOf(response)).toMatchObject({ code: 'output_rejected', status: 422 });
    await rejected(await renderer.complete(FILE));
    await renderer.putOutput(FILE);
    await rejected(await renderer.complete(`${FILE}!`));
    await rejected(await renderer.complete(FILE.replace('p', 'q')));
    await rejected(await renderer.complete(FILE, { output_video_key: 'in/default/upl_x' }));
    await rejected(await renderer.complete(FILE, { manifest: undefined }));
    const manifest = { ...(await renderer.manifest(FILE)), size: FILE.length + 1 };
    await rejected(await renderer.complete(FILE, { manifest }));
    expect(await getJob(job.id)).toMatchObject({ status: 'processing' });
    expect((await renderer.complete(FILE)).status).toBe(200);
  });

  it('an output is written once, and only with the manifest that fits it', async () => {
    const { renderer } = await claimed();
    const path = new URL(renderer.claimed?.output.url ?? '').pathname;
    const put = (manifest: object | null) =>
      call(path, {
        method: 'PUT',
        body: FILE,
        headers: {
          ...renderer.auth,
          'content-length': String(FILE.length),
          ...(manifest && { 'x-export-manifest': JSON.stringify(manifest) }),
        },
      });
    const manifest = await renderer.manifest(FILE);
    for (const wrong of [
      null,
      {},
      { ...manifest, size: 1 },
      { ...manifest, sha256: '00'.repeat(32) },
    ]) {
      expect(await problemOf(await put(wrong))).toMatchObject({ code: 'upload_mismatch' });
    }
    expect((await renderer.putOutput(FILE)).status).toBe(200);
    expect(await problemOf(await renderer.putOutput('something else'))).toMatchObject({
      code: 'output_exists',
    });
  });

  it('a renderer that is done keeps its lease while R2 is asked', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const { job, renderer } = await claimed();
    await renderer.putOutput(FILE);
    vi.setSystemTime(Date.now() + 80_000);
    const head = env.VIDEOS.head.bind(env.VIDEOS);
    vi.spyOn(env.VIDEOS, 'head').mockImplementation(async (key) => {
      vi.setSystemTime(Date.now() + 30_000);
      return head(key);
    });
    expect((await renderer.complete(FILE)).status).toBe(200);
    expect(await getJob(job.id)).toMatchObject({ status: 'complete', attempt: 1 });
  });

  it('a repeated complete is answered as the first time, one with another file is not', async () => {
    const { job, renderer } = await claimed();
    await renderer.putOutput(FILE);
    await renderer.complete(FILE);
    expect(await (await renderer.complete(FILE)).json()).toEqual({ success: true });
    const other = await renderer.complete(FILE, { output_video_key: 'out/other' });
    expect(await problemOf(other)).toMatchObject({ code: 'job_finished' });
    expect(await getJob(job.id)).toMatchObject({ status: 'complete' });
  });
});

describe('failures', () => {
  it('of the input end the job at once, with a sentence that says what to do', async () => {
    const job = await createJob();
    const viewer = await Viewer.open(job.id);
    const renderer = await FakeRenderer.claims(job.id);
    const error = '/tmp/x/in.mp4: moov atom not found https://r2.example/?sig=1';
    const reply = await renderer.error('input_damaged', { error });
    expect(await reply.json()).toEqual({ success: true, retrying: false });
    const told = await viewer.last('error');
    expect(told).toMatchObject({
      job: { status: 'error', error_code: 'input_damaged', attempt: 1 },
    });
    expect(JSON.stringify(told)).not.toMatch(/moov|r2\.example|\/tmp/);
  });

  it('of the settings say what does not fit', async () => {
    const job = await createJob({ container: 'gif' });
    const renderer = await FakeRenderer.claims(job.id);
    await renderer.error('options_invalid', { error: 'a GIF holds at most 30 s' });
    expect(await getJob(job.id)).toMatchObject({
      error: 'These export settings do not fit this video. A GIF holds at most 30 s.',
    });
  });

  it('should_retry can make the rule stricter and never looser (S30)', async () => {
    const job = await createJob();
    const renderer = await FakeRenderer.claims(job.id);
    const reply = await renderer.error('input_invalid', { should_retry: true });
    expect(await reply.json()).toEqual({ success: true, retrying: false });
  });
});

describe('a job whose object sleeps between its claim and its end', () => {
  it('is complete in D1 at once, though what D1 was told before was not yet written down (I5)', async () => {
    const { id } = await createJob();
    const renderer = await FakeRenderer.claims(id);
    const statusInD1 = () =>
      env.DB.prepare('SELECT status FROM export_jobs WHERE id = ?').bind(id).first('status');
    await until(async () => (await statusInD1()) === 'processing');
    await evict(id);
    await renderer.putOutput(FILE);
    await renderer.complete(FILE);
    // No alarm is run.
    await until(async () => (await statusInD1()) === 'complete');
  });

  it('is stopped at the provider at once when it is cancelled', async () => {
    const { id } = await createJob();
    await FakeRenderer.claims(id);
    await evict(id);
    await call(`/api/jobs/${id}/cancel`, { method: 'POST' });
    await until(() => provider.stopped.includes('remote-1'));
  });
});

describe('what a renderer calls its hardware', () => {
  it.each(['constructor', '__proto__', 'toString'])(
    'may be %s, and stops nothing',
    async (name) => {
      const { id } = await createJob();
      const renderer = new FakeRenderer(await ticketOf(id), 'process-one', name);
      await renderer.claim();
      await evict(id);
      await renderer.progress(5);
      await renderer.error('encoder_failed');
      const job = await getJob(id);
      expect(job).toMatchObject({ attempt: 2, cost: { gpu: [{ hardware: name }] } });
      expect(job.cost?.dollars).toBeGreaterThanOrEqual(0);
    },
  );
});
