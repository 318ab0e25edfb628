// Workers that are told to go, again and again, as an endpoint that scales down does it.
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { Stack } from '../scripts/stack.ts';
import { download, endOf, exportOf, Viewer } from './support/http.ts';
import { cutFilm, inspect } from './support/media.ts';
import { descendants, isAlive, until } from './support/processes.ts';
import { freshStack, IMPATIENT, temporaryFolder } from './support/stack.ts';

const EXPORTS = 5;
const SIGNALS = 6;
/** More than the five seconds that a renderer’s last word may take, on a machine that does more than this. */
const GRACE_MS = 20_000;

let stack: Stack;
let folder: string;
let film: string;
beforeAll(async () => {
  folder = await temporaryFolder('sigterm');
  const rendererEnv = { RUNPOD_PING_INTERVAL: '500' };
  // Nothing is found by a lease here: what is lost must be told.
  const policy = { ...IMPATIENT.policy, lease_ms: 90_000 };
  stack = await freshStack({ ...IMPATIENT, policy, renderers: 2, rendererEnv });
  film = await cutFilm(folder, { seconds: 4, width: 480, height: 270 });
});
afterAll(async () => await stack.close());

const renderers = () => stack.renderers.flatMap(({ pid }) => (pid === undefined ? [] : [pid]));
/** Not only trying its encoders out, as each does when it starts. */
const isEncoding = (pid: number) =>
  descendants(pid).some(({ program, args }) => program === 'ffmpeg' && args.includes('-progress'));

describe('renderers that are told to go', () => {
  it(`lose no job: ${EXPORTS} exports and ${SIGNALS} signals, each process gone in time`, async () => {
    const options = { container: 'webm', codec: 'vp9', width: 480, height: 270, fps: 24 } as const;
    const made = await Promise.all(
      Array.from({ length: EXPORTS }, () => exportOf(stack.url, film, options)),
    );
    const viewers = made.map(({ id }) => new Viewer(stack.url, id));
    for (let n = 0; n < SIGNALS; n += 1) {
      const pid = await until('a renderer is at work', () => renderers().find(isEncoding));
      process.kill(pid, 'SIGTERM');
      await until('it is gone', () => !isAlive(pid), GRACE_MS);
    }
    const ended = await Promise.all(made.map(({ id }) => endOf(stack.url, id)));
    for (const job of ended) {
      expect(job).toMatchObject({ status: 'complete', verified: true });
      const file = path.join(folder, `${job.id}.webm`);
      await download(stack.url, job, file);
      expect(await inspect(file)).toMatchObject({ video: 'vp9', frames: 96 });
    }
    // Each signal costs one attempt (none, if it comes when the file is done), for a known reason.
    const retries = ended.reduce((sum, job) => sum + job.retry_count, 0);
    expect(retries).toBeGreaterThan(0);
    expect(retries).toBeLessThanOrEqual(SIGNALS);
    const reasons = viewers.flatMap(({ heard }) =>
      heard.flatMap(({ job }) => ('last_failure' in job ? [job.last_failure?.code] : [])),
    );
    expect(new Set(reasons)).toEqual(new Set([undefined, 'renderer_shutdown']));
    for (const viewer of viewers) viewer.close();
  });
});
