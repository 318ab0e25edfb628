import { createScheduledController } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { MAX_SPEEDS, MIN_SAMPLES } from '../src/job/forecast.ts';
import worker from '../src/index.ts';
import { knownSpeeds } from '../src/lib/speeds.ts';
import {
  FakeRenderer,
  MINUTE,
  Viewer,
  createJob,
  evict,
  getJob,
  later,
  playProvider,
  ticketOf,
  until,
} from './harness.ts';

// What exports took before, from D1 to the time left that viewers are told.

playProvider();
const GPU = 'NVIDIA L4';

beforeEach(async () => {
  // Half past, and later than whatever an isolate still believes of the test before.
  vi.useFakeTimers({ toFake: ['Date'], now: (hour += 60 * MINUTE) + 30 * MINUTE });
  await env.DB.exec('DELETE FROM export_jobs');
  await env.DB.exec('DELETE FROM export_speeds');
});
let hour = Date.UTC(2040, 0, 1);

async function claimed(hardware = GPU): Promise<{ id: string; renderer: FakeRenderer }> {
  const { id } = await createJob();
  const renderer = new FakeRenderer(await ticketOf(id), crypto.randomUUID(), hardware);
  await renderer.claim();
  return { id, renderer };
}

/** The claim of a process that the same ticket was handed to when the first had been given up. */
async function redelivered(id: string): Promise<FakeRenderer> {
  const renderer = new FakeRenderer(await ticketOf(id), crypto.randomUUID(), GPU);
  await renderer.claim();
  return renderer;
}

/** A renderer makes its file so many seconds later and says so, until D1 has it. */
async function completed(id: string, renderer: FakeRenderer, seconds: number): Promise<void> {
  later(seconds * 1000);
  await renderer.putOutput('file');
  await renderer.complete('file');
  await isInD1(id);
}

async function isInD1(id: string): Promise<void> {
  const sql = "SELECT 1 FROM export_jobs WHERE id = ? AND status = 'complete'";
  await until(() => env.DB.prepare(sql).bind(id).first());
}

/** Exports that took a minute, give or take some seconds. */
async function history(exports = MIN_SAMPLES): Promise<void> {
  for (let n = 0; n < exports; n += 1) {
    const { id, renderer } = await claimed();
    await completed(id, renderer, 58 + n);
  }
}

const rows = () => env.DB.prepare('SELECT count(*) AS n FROM export_speeds').first('n');

/** The cron, at a minute of the hour. */
async function sweepAt(minute: number): Promise<void> {
  hour += 60 * MINUTE;
  vi.setSystemTime(hour + minute * MINUTE);
  await worker.scheduled(createScheduledController(), env);
}

const timeLeft = async (id: string) => {
  const job = await getJob(id);
  if (job.status !== 'processing') throw new Error(`the job is ${job.status}`);
  return { p50: job.eta_ms, p90: job.eta_p90_ms };
};

describe('the time left', () => {
  it('is not known of the first exports of a kind', async () => {
    const { id } = await claimed();
    expect(await timeLeft(id)).toEqual({ p50: null, p90: null });
  });

  it('is at first what such exports took, on the same hardware', async () => {
    await history();
    await sweepAt(0);
    const { id, renderer } = await claimed();
    const told = await timeLeft(id);
    expect(Math.abs((told.p50 ?? 0) - MINUTE)).toBeLessThan(3000);
    expect(told.p90).toBeGreaterThan(told.p50 ?? 0);
    // Half as many pixels as the others had: 64 × 36 × 24.
    await renderer.progress(1, { megapixels: (64 * 36 * 12) / 1e6 });
    expect(Math.abs(((await timeLeft(id)).p50 ?? 0) - MINUTE / 2)).toBeLessThan(2000);
    const elsewhere = await claimed('another');
    expect(await timeLeft(elsewhere.id)).toEqual({ p50: null, p90: null });
  });

  it('is told with each report, remembered through a sleep, and gone with the end', async () => {
    await history();
    await sweepAt(0);
    const { id, renderer } = await claimed();
    const viewer = await Viewer.open(id);
    const channel = await renderer.connect();
    later(20_000);
    await channel.progress(50, { eta_ms: 20_000, megapixels: 0.055 });
    const report = await until(() => viewer.events.find(({ type }) => type === 'progress'));
    const told = report.type === 'progress' ? report : null;
    expect(told?.eta_ms).toBeGreaterThan(20_000);
    expect(told?.eta_p90_ms).toBeGreaterThan(told?.eta_ms ?? Infinity);
    await evict(id);
    expect(await timeLeft(id)).toEqual({ p50: told?.eta_ms, p90: told?.eta_p90_ms });
    await renderer.error('encoder_failed');
    expect(await getJob(id)).not.toHaveProperty('eta_ms');
  });

  it('is measured once an hour, and by the sweep alone', async () => {
    await history();
    await sweepAt(17);
    expect(await rows()).toBe(0);
    await sweepAt(0);
    // Of two kinds, the one within the other, by two units each.
    expect(await rows()).toBe(4);
  });

  it('is learnt from the renderer alone that made the file, since its own claim', async () => {
    await history(MIN_SAMPLES - 1);
    const { id } = await claimed();
    later(MINUTE);
    await completed(id, await redelivered(id), 60);
    expect(await getJob(id)).toMatchObject({ rendered: { hardware: GPU, ms: MINUTE } });
    await sweepAt(0);
    const { p50, p90 } = await timeLeft((await claimed()).id);
    expect(Math.abs((p50 ?? 0) - MINUTE)).toBeLessThan(3000);
    expect(p90).toBeLessThan(2 * MINUTE);
  });

  it('is not learnt from a file that was found when its renderer had been given up', async () => {
    await history(MIN_SAMPLES - 1);
    const { id, renderer } = await claimed();
    await renderer.putOutput('file');
    later(MINUTE);
    await redelivered(id);
    await isInD1(id);
    expect(await getJob(id)).toMatchObject({ attempt: 1, rendered: null });
    await sweepAt(0);
    expect(await rows()).toBe(0);
  });

  it('is learnt of no more hardware than a job can keep: of that with the most exports', async () => {
    const speeds = Array.from({ length: 2 * MAX_SPEEDS }, (_, n) => {
      return { kind: 'h264', hardware: `gpu ${n}`, unit: 'megapixel', samples: 10 + n };
    });
    const sql = `INSERT INTO export_speeds (kind, hardware, unit, samples, mean, deviation, measured_at)
      SELECT value ->> 'kind', value ->> 'hardware', value ->> 'unit', value ->> 'samples', 1, 1, ?2
      FROM json_each(?1)`;
    await env.DB.prepare(sql).bind(JSON.stringify(speeds), Date.now()).run();
    const known = await knownSpeeds(env.DB, { container: 'mp4' }, Date.now());
    const most = speeds.slice(-MAX_SPEEDS).toReversed();
    expect(known.map(({ hardware }) => hardware)).toEqual(most.map(({ hardware }) => hardware));
  });

  it('is unknown, and the job is made all the same, when the past cannot be read', async () => {
    await env.DB.exec('ALTER TABLE export_speeds RENAME TO away');
    const { id } = await claimed();
    expect(await timeLeft(id)).toEqual({ p50: null, p90: null });
    await env.DB.exec('ALTER TABLE away RENAME TO export_speeds');
  });
});
