import { createScheduledController } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { MIN_SAMPLES } from '../src/job/forecast.ts';
import worker from '../src/index.ts';
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

/** An export that takes a minute, give or take some seconds, until D1 has it. */
async function exported(seconds: number): Promise<void> {
  const { id, renderer } = await claimed();
  later(seconds * 1000);
  await renderer.putOutput('file');
  await renderer.complete('file');
  const sql = "SELECT 1 FROM export_jobs WHERE id = ? AND status = 'complete'";
  await until(() => env.DB.prepare(sql).bind(id).first());
}

async function history(): Promise<void> {
  for (let n = 0; n < MIN_SAMPLES; n += 1) await exported(58 + n);
}

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
    const rows = () => env.DB.prepare('SELECT count(*) AS n FROM export_speeds').first('n');
    await sweepAt(17);
    expect(await rows()).toBe(0);
    await sweepAt(0);
    // Of two kinds, the one within the other, by two units each.
    expect(await rows()).toBe(4);
  });

  it('is unknown, and the job is made all the same, when the past cannot be read', async () => {
    await env.DB.exec('ALTER TABLE export_speeds RENAME TO away');
    const { id } = await claimed();
    expect(await timeLeft(id)).toEqual({ p50: null, p90: null });
    await env.DB.exec('ALTER TABLE away RENAME TO export_speeds');
  });
});
