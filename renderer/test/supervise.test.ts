import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import { RenderFailure } from '../src/failure.ts';
import { UNCONFINED } from '../src/ffmpeg/confine.ts';
import { superviseEncode } from '../src/ffmpeg/supervise.ts';
import { ffmpeg, IN_SECONDS, Studio } from './media.ts';

/** An encode that would go on for hours. */
const ENDLESS = [
  '-f',
  'lavfi',
  '-re',
  '-i',
  'testsrc2=s=320x180:r=25',
  '-c:v',
  'libx264',
  '-y',
  'file:output.mp4',
];

const NOWHERE = { ffmpeg: '/nowhere/ffmpeg', confinement: UNCONFINED };

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(async () => {
  await studio.close();
});

/** The processes that run in this folder, by Linux's own account. */
function processesIn(folder: string): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== process.pid && commandOf(pid).includes(folder));
}
function commandOf(pid: number): string {
  try {
    const state = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.[0];
    return state === 'Z' ? '' : readFileSync(`/proc/${pid}/cmdline`, 'utf8');
  } catch {
    return '';
  }
}

const isLinux = process.platform === 'linux';

describe.skipIf(!ffmpeg || !isLinux)('a supervised encode (needs Linux and ffmpeg)', () => {
  function start(folder: string, extra: { stallMs?: number; deadlineMs?: number } = {}) {
    const abort = new AbortController();
    let frames = 0;
    const output = `file:${folder}/output.mp4`;
    const ended = superviseEncode({
      tools: ffmpeg?.tools ?? NOWHERE,
      args: [...ENDLESS.slice(0, -1), output],
      folder,
      signal: abort.signal,
      onProgress: ({ frame }) => (frames = frame),
      ...extra,
    }).then(
      () => undefined,
      (error: unknown) => error,
    );
    return { abort, ended, frames: () => frames };
  }
  const newFolder = () => studio.jobFolder(import.meta.filename);

  it('is gone soon after an abort, and rejects with its reason', async () => {
    const folder = await newFolder();
    const { abort, ended, frames } = start(folder);
    await vi.waitFor(() => expect(frames()).toBeGreaterThan(0), 30_000);
    const reason = new Error('not wanted');
    const startedAt = performance.now();
    abort.abort(reason);
    expect(await ended).toBe(reason);
    expect(performance.now() - startedAt).toBeLessThan(IN_SECONDS);
    expect(processesIn(folder)).toEqual([]);
  });

  it('is not blamed when it was this process that stood still', async () => {
    const folder = await newFolder();
    const { abort, ended, frames } = start(folder, { stallMs: 4000 });
    await vi.waitFor(() => expect(frames()).toBeGreaterThan(0), 30_000);
    // Once it goes on, its timers are due before anything that came meanwhile is read.
    const pause = `kill -s STOP ${process.pid}; sleep 5; kill -s CONT ${process.pid}`;
    await once(spawn('/bin/sh', ['-c', pause]), 'close');
    const before = frames();
    await vi.waitFor(() => expect(frames()).toBeGreaterThan(before), 30_000);
    const reason = new Error('not wanted');
    abort.abort(reason);
    expect(await ended).toBe(reason);
  });

  it('is killed even when it is frozen', async () => {
    const folder = await newFolder();
    const { abort, ended, frames } = start(folder);
    await vi.waitFor(() => expect(frames()).toBeGreaterThan(0), 30_000);
    for (const pid of processesIn(folder)) process.kill(pid, 'SIGSTOP');
    const startedAt = performance.now();
    abort.abort(new Error('not wanted'));
    await ended;
    expect(performance.now() - startedAt).toBeLessThan(IN_SECONDS);
    expect(processesIn(folder)).toEqual([]);
  });

  it('counts as stalled when its process lives and gets nowhere', async () => {
    const folder = await newFolder();
    const { ended, frames } = start(folder, { stallMs: 4000 });
    await vi.waitFor(() => expect(frames()).toBeGreaterThan(0), 30_000);
    for (const pid of processesIn(folder)) process.kill(pid, 'SIGSTOP');
    const error = await ended;
    expect(error instanceof RenderFailure && error.code).toBe('encoder_stalled');
    expect(processesIn(folder)).toEqual([]);
  });

  it('may not run longer than its deadline', async () => {
    const { ended } = start(await newFolder(), { deadlineMs: 300 });
    const error = await ended;
    expect(error instanceof RenderFailure && error.code).toBe('attempt_timeout');
  });

  it('fails when its program is not there', async () => {
    const running = superviseEncode({
      tools: NOWHERE,
      args: [],
      folder: studio.root,
      signal: new AbortController().signal,
    });
    await expect(running).rejects.toThrow('/nowhere/ffmpeg: not found');
  });

  it('does not outlive a parent that is killed', async () => {
    const folder = await newFolder();
    const script = `
      import { superviseEncode } from ${JSON.stringify(import.meta.resolve('../src/ffmpeg/supervise.ts'))};
      await superviseEncode({
        tools: ${JSON.stringify(ffmpeg?.tools)},
        args: ${JSON.stringify([...ENDLESS.slice(0, -1), `file:${folder}/output.mp4`])},
        folder: ${JSON.stringify(folder)},
        signal: new AbortController().signal,
        onProgress: ({ frame }) => frame > 0 && console.log('encoding'),
      });`;
    // Not the folder's name in its own command line, so that only ffmpeg is found by it.
    const parent = spawn(process.execPath, ['--input-type=module'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    parent.stdin.end(script);
    await once(parent.stdout, 'data');
    expect(processesIn(folder)).toHaveLength(1);
    parent.kill('SIGKILL');
    await vi.waitFor(() => expect(processesIn(folder)).toEqual([]), 30_000);
  });
});
