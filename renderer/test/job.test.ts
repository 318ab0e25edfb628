import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ErrorBody } from '@export-jobs/protocol';
import * as v from 'valibot';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { removeLeftovers } from '../src/job-folder.ts';
import { renderJob } from '../src/job.ts';
import { JobAborted, type Log } from '../src/runpod/index.ts';
import { startFakeServer, TOKEN, type FakeServerOptions } from './fake-server.ts';
import { binWith, ffmpeg, IN_SECONDS, PICTURE_AND_TONE, SLOW, Studio } from './media.ts';

const patience = { baseMs: 20, capMs: 100 };
const cleanup: (() => Promise<unknown>)[] = [];
let studio: Studio;
let short: Buffer;
let long: Buffer;
beforeAll(async () => {
  studio = await Studio.open();
  if (!ffmpeg) return;
  short = await readFile(await studio.make('short.mp4', PICTURE_AND_TONE(1)));
  long = await readFile(await studio.make('long.mp4', PICTURE_AND_TONE(60, '640x360', 30)));
});
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const undo of cleanup.splice(0)) await undo();
});
afterAll(async () => {
  await studio.close();
});

interface StartOptions {
  readonly ticket?: unknown;
  /** It is told to end before it begins. */
  readonly aborted?: JobAborted;
  readonly gpuType?: string;
  readonly retryMs?: number;
  readonly root?: string;
}

async function start(
  options: FakeServerOptions,
  { ticket, aborted, gpuType, retryMs = 20, root = studio.root }: StartOptions = {},
) {
  if (!ffmpeg) throw new Error('there is no ffmpeg here');
  const server = await startFakeServer(options);
  cleanup.push(() => server.close());
  const abort = new AbortController();
  if (aborted) abort.abort(aborted);
  const lines: string[] = [];
  const log: Log = (_, message, fields) => lines.push(JSON.stringify({ message, ...fields }));
  const job = { id: 'rp-1', input: ticket ?? server.ticket };
  const ended = renderJob(
    job,
    { signal: abort.signal, workerId: 'w1', gpuType, log, progress: () => undefined },
    { ffmpeg, root, timing: { retryMs, patience } },
  );
  const rendering = () =>
    vi.waitFor(
      () => expect(server.progress().some(({ stage }) => stage === 'rendering')).toBe(true),
      { timeout: 60_000, interval: 10 },
    );
  return { server, abort, ended, lines, rendering };
}
const leftovers = async () =>
  (await readdir(studio.root)).filter((name) => name.startsWith('export-render-'));
const errorsOf = (bodies: unknown[]) => bodies.map((body) => v.parse(ErrorBody, body));

describe.skipIf(!ffmpeg)('a render (skipped where there is no ffmpeg)', () => {
  it('goes from claim to completion, and tells the truth about its output', async () => {
    const { server, ended, lines } = await start({ source: short, reportMs: 50 });
    const output = { complete: true, key: 'out/t/j/1/1/film.mp4' };
    expect(await ended).toMatchObject({ output });
    expect(server.said('claim')).toMatchObject([
      { provider_job_id: 'rp-1', worker_id: 'w1', hardware: 'cpu' },
    ]);
    const stored = server.stored[0] ?? Buffer.alloc(0);
    expect(server.said('complete')).toMatchObject([
      {
        epoch: 1,
        output_video_key: 'out/t/j/1/1/film.mp4',
        manifest: {
          size: stored.length,
          sha256: createHash('sha256').update(stored).digest('hex'),
          width: 320,
          height: 180,
          frames: 25,
          duration_ms: 1000,
        },
      },
    ]);
    expect(server.said('error')).toEqual([]);
    expect(await leftovers()).toEqual([]);
    expect(lines.join()).not.toContain(TOKEN);
  });

  it('names the GPU that it renders on', async () => {
    const gpuType = 'NVIDIA L4 '.repeat(50);
    const { server, ended } = await start({ source: Buffer.alloc(0) }, { gpuType });
    await ended;
    expect(server.said('claim')).toMatchObject([{ hardware: gpuType.slice(0, 200) }]);
  });

  it('reports progress that only grows, with numbers that count up', async () => {
    const { server, ended } = await start({ source: long, reportMs: 50, options: { width: 320 } });
    await ended;
    const reports = server.progress();
    const percents = reports.map(({ progress }) => progress);
    expect(percents).toEqual(percents.toSorted((a, b) => a - b));
    expect(percents.filter((p) => p > 20 && p < 90).length).toBeGreaterThan(2);
    expect(reports.map(({ seq }) => seq)).toEqual(reports.map((_, i) => i + 1));
    expect(Math.max(...percents)).toBeLessThan(100);
    const stages = reports.map(({ stage }) => stage);
    expect([...new Set(stages)].slice(0, 3)).toEqual(['starting', 'downloading', 'rendering']);
  });

  it('stops its encoder and says no more when the server fences it', async () => {
    let fenced = false;
    const { server, ended, rendering } = await start({
      source: long,
      options: SLOW,
      reportMs: 50,
      answer: ({ name }) => (fenced && name === 'progress' ? 'stale_attempt' : undefined),
    });
    await rendering();
    fenced = true;
    const fencedAt = performance.now();
    expect(await ended).toEqual({ output: { fenced: true } });
    expect(performance.now() - fencedAt).toBeLessThan(IN_SECONDS);
    expect(server.said('error')).toEqual([]);
    expect(server.said('complete')).toEqual([]);
    expect(await leftovers()).toEqual([]);
  });

  it('survives a network that is away for a while', async () => {
    let awayUntil = 0;
    const { server, ended, rendering } = await start({
      source: short,
      reportMs: 50,
      answer: ({ at }) => (at < awayUntil ? 'hang up' : undefined),
    });
    await vi.waitFor(() => expect(server.said('claim')).toHaveLength(1), 20_000);
    awayUntil = Date.now() + 1500;
    await rendering();
    expect(await ended).toMatchObject({ output: { complete: true } });
  });

  it('stops by itself when nobody has heard it for as long as the lease', async () => {
    let away = false;
    const { server, ended, rendering } = await start({
      source: long,
      options: SLOW,
      reportMs: 50,
      leaseMs: 3000,
      answer: () => (away ? 'hang up' : undefined),
    });
    await rendering();
    away = true;
    const awayAt = performance.now();
    expect(await ended).toEqual({ output: { fenced: true } });
    // From when it was heard last, which was just before.
    expect(performance.now() - awayAt).toBeGreaterThan(1500);
    expect(performance.now() - awayAt).toBeLessThan(IN_SECONDS);
    expect(server.said('complete')).toEqual([]);
  });

  it('keeps its lease while its progress does not move', async () => {
    const leaseMs = 3000;
    let from = Infinity;
    const { server, ended } = await start(
      {
        source: short,
        reportMs: 30_000,
        leaseMs,
        answer: ({ name, at }) => {
          if (name !== 'output') return undefined;
          from = Math.min(from, at);
          return at - from < 1.2 * leaseMs ? 'storage_unavailable' : undefined;
        },
      },
      { retryMs: 60 },
    );
    expect(await ended).toMatchObject({ output: { complete: true } });
    const tries = server.heard.filter(({ name }) => name === 'output');
    expect((tries.at(-1)?.at ?? 0) - from).toBeGreaterThan(leaseMs);
  });

  it('says completion again until it is acknowledged, under one number', async () => {
    let tries = 0;
    const { server, ended } = await start({
      source: short,
      answer: ({ name }) => (name === 'complete' && (tries += 1) < 3 ? 'hang up' : undefined),
    });
    expect(await ended).toMatchObject({ output: { complete: true } });
    const said = server.said('complete');
    expect(said).toHaveLength(3);
    expect(new Set(said.map((body) => JSON.stringify(body))).size).toBe(1);
  });

  it('reports an unreadable source to the server, and no error to the platform', async () => {
    const { server, ended } = await start({ source: Buffer.from('no video '.repeat(100)) });
    expect(await ended).toEqual({ output: { complete: false, code: 'input_invalid' } });
    const [said] = errorsOf(server.said('error'));
    expect(said).toMatchObject({ code: 'input_invalid', should_retry: false });
    expect(said?.error).not.toMatch(/http|\/tmp|ej1/);
  });

  it('reports an empty source without trying to read it', async () => {
    const { server, ended } = await start({ source: Buffer.alloc(0) });
    expect(await ended).toEqual({ output: { complete: false, code: 'input_empty' } });
    expect(server.said('source')).toEqual([]);
  });

  it('reports an output that the server does not accept', async () => {
    const { server, ended } = await start({
      source: short,
      answer: ({ name }) => (name === 'complete' ? 'output_rejected' : undefined),
    });
    expect(await ended).toEqual({ output: { complete: false, code: 'output_rejected' } });
    expect(errorsOf(server.said('error'))).toMatchObject([{ should_retry: true }]);
  });

  it('tells the server when its process must end', async () => {
    const { server, ended, abort, rendering } = await start({ source: long, reportMs: 50 });
    await rendering();
    abort.abort(new JobAborted('shutdown'));
    expect(await ended).toEqual({ output: { complete: false, code: 'renderer_shutdown' } });
    expect(errorsOf(server.said('error'))).toMatchObject([
      { code: 'renderer_shutdown', should_retry: true },
    ]);
  });

  it('claims a job that came while its process ends, and gives it back', async () => {
    const { server, ended } = await start(
      { source: short },
      { aborted: new JobAborted('shutdown') },
    );
    expect(await ended).toEqual({ output: { complete: false, code: 'renderer_shutdown' } });
    expect(server.said('claim')).toHaveLength(1);
    expect(errorsOf(server.said('error'))).toMatchObject([{ code: 'renderer_shutdown' }]);
    expect(server.said('source')).toEqual([]);
  });

  it('tells the server when there is no place for its files', async () => {
    const { server, ended } = await start({ source: short }, { root: join(studio.root, 'none') });
    expect(await ended).toEqual({ output: { complete: false, code: 'renderer_error' } });
    expect(errorsOf(server.said('error'))).toMatchObject([{ code: 'renderer_error' }]);
  });

  it.skipIf(process.getuid?.() !== 0 || !ffmpeg?.tools.confinement.asOther)(
    'that leaves something running which cannot be ended keeps its files, and costs the worker',
    async () => {
      const { server, ended, abort, lines, rendering } = await start({
        source: long,
        reportMs: 50,
      });
      await rendering();
      vi.stubEnv(
        'PATH',
        `${await binWith(studio.root, 'exit 1', 'setpriv')}:${process.env['PATH']}`,
      );
      abort.abort(new JobAborted('shutdown'));
      expect(await ended).toEqual({
        output: { complete: false, code: 'renderer_shutdown' },
        refreshWorker: true,
      });
      vi.unstubAllEnvs();
      expect(server.said('error')).toHaveLength(1);
      expect(lines.join()).toContain('the worker ends');
      const [left = '', ...more] = await leftovers();
      expect(more).toEqual([]);
      expect(await readdir(join(studio.root, left, 'job'))).toContain('input');
      await removeLeftovers(studio.root);
      expect(await leftovers()).toEqual([]);
    },
  );

  it('does not claim a job that was stopped before', async () => {
    const { server, ended } = await start(
      { source: short },
      { aborted: new JobAborted('stopped') },
    );
    expect(await ended).toHaveProperty('error');
    expect(server.heard).toEqual([]);
  });

  it('says nothing more when the platform stops the job', async () => {
    const { server, ended, abort, rendering } = await start({ source: long, reportMs: 50 });
    await rendering();
    abort.abort(new JobAborted('stopped'));
    expect(await ended).toEqual({ output: { fenced: true } });
    expect(server.said('error')).toEqual([]);
  });

  it('leaves a job alone that somebody else has claimed', async () => {
    const { server, ended } = await start({
      source: short,
      answer: ({ name }) => (name === 'claim' ? 'not_owner' : undefined),
    });
    expect(await ended).toEqual({ output: { fenced: true } });
    expect(server.heard).toHaveLength(1);
  });

  it('gives the platform an error for a ticket that is none, or is not accepted', async () => {
    const wrong = await start({ source: short }, { ticket: { n: 1 } });
    expect(await wrong.ended).toEqual({ error: 'the input is not a render ticket' });
    const ticket = { ...wrong.server.ticket, token: 'forged' };
    const forged = await start({ source: short }, { ticket });
    expect(await forged.ended).toEqual({ error: 'the server could not be told' });
  });
});
