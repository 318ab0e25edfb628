import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import {
  FakeRenderer,
  call,
  createJob,
  evict,
  getJob,
  playProvider,
  provider,
  stubOf,
  ticketOf,
  until,
} from './harness.ts';
import { readKept } from '../src/durable-objects/kept.ts';

// Objects that an older version has left: their jobs must go on.

playProvider();

/** Writes what the object keeps as versions before 0.2 did: in three tables. */
async function asItWas(id: string): Promise<void> {
  await runInDurableObject(stubOf(id), (_, { storage }) => {
    const kept = readKept(storage);
    if (!kept) throw new Error('nothing is kept');
    const { sql, kv } = storage;
    sql.exec(`CREATE TABLE job (only INTEGER PRIMARY KEY CHECK (only = 1), body TEXT NOT NULL);
      CREATE TABLE events (seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, happening TEXT NOT NULL, view TEXT NOT NULL);
      CREATE TABLE outbox (key TEXT PRIMARY KEY, version INTEGER NOT NULL, due_at INTEGER, tries INTEGER NOT NULL, reason TEXT) WITHOUT ROWID;
      ALTER TABLE outbox ADD COLUMN running INTEGER NOT NULL DEFAULT 0;`);
    const { epochs: _epochs, gpu: _gpu, ...known } = kept.job;
    const older = { ...known, seq: 3, mirroredAt: known.createdAt };
    sql.exec('INSERT INTO job (only, body) VALUES (1, ?)', JSON.stringify(older));
    for (const [i, { at, happening, view }] of kept.log.entries()) {
      sql.exec('INSERT INTO events VALUES (?, ?, ?, ?)', i + 1, at, happening, view);
    }
    sql.exec("INSERT INTO outbox VALUES ('stop:remote-9', 1, 1, 2, 'later', 0)");
    kv.delete('job');
    kv.put('schema', 2);
  });
  await evict(id);
}

describe('an object of an older version', () => {
  it('goes on: its job, its log, what it owes, and its renderer', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const job = await createJob();
    const renderer = await FakeRenderer.claims(job.id);
    await asItWas(job.id);
    expect(await getJob(job.id)).toMatchObject({ status: 'processing', attempt: 1, seq: 3 });
    await runDurableObjectAlarm(stubOf(job.id));
    await vi.waitFor(() => expect(provider.stopped).toContain('remote-9'));
    expect((await renderer.progress(50)).status).toBe(200);
    await renderer.putOutput('file');
    expect((await renderer.complete('file')).status).toBe(200);
    expect(await getJob(job.id)).toMatchObject({ status: 'complete', seq: 1000 });
    await evict(job.id);
    expect(await getJob(job.id)).toMatchObject({ status: 'complete', seq: 1000 });
  });

  it('that had ended tells D1 of its end, and leaves its log there', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    const job = await createJob();
    await ticketOf(job.id);
    await call(`/api/jobs/${job.id}/cancel`, { method: 'POST' });
    const row = () =>
      env.DB.prepare('SELECT rev, status, log FROM export_jobs WHERE id = ?').bind(job.id).first();
    await until(async () => (await row())?.['status'] === 'cancelled');
    await asItWas(job.id);
    await env.DB.prepare(
      "UPDATE export_jobs SET rev = 2, status = 'pending', log = NULL WHERE id = ?",
    )
      .bind(job.id)
      .run();
    await runDurableObjectAlarm(stubOf(job.id));
    await until(async () => (await row())?.['status'] === 'cancelled');
    const told = await row();
    expect(told?.['rev']).toBe(3);
    expect(String(told?.['log'])).toContain('cancelled');
  });
});
