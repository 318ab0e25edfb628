// The real object on the real clock: while its viewers only ping it is not in memory.
import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PING } from '@export-jobs/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { inRoot } from '../scripts/lib/paths.ts';
import type { Stack } from '../scripts/stack.ts';
import { HandRenderer } from './support/hand-renderer.ts';
import { exportOf, jobOf, Viewer } from './support/http.ts';
import { until } from './support/processes.ts';
import { freshStack, temporaryFolder } from './support/stack.ts';

const WORKER = inRoot('workers', 'src', 'index.ts');
/** The real Worker, and beside it the count of how often each job's object was constructed. */
const COUNTING_WORKER = `
  import worker, { ExportJobState as Real } from '${WORKER}';
  export { ExportFeed } from '${WORKER}';
  const starts = {};
  export class ExportJobState extends Real {
    constructor(ctx, env) {
      super(ctx, env);
      starts[ctx.id.name] = (starts[ctx.id.name] ?? 0) + 1;
    }
  }
  const isAsked = ({ url }) => new URL(url).pathname === '/api/starts';
  export default {
    ...worker,
    fetch: (request, env, ctx) =>
      isAsked(request) ? Response.json(starts) : worker.fetch(request, env, ctx),
  };
`;
/** workerd takes an object out of memory that nothing has happened to for ten seconds. */
const IDLE_MS = 14_000;
/** No faster than a viewer may speak. */
const PING_MS = 1000;
const VIEWERS = 5;

let stack: Stack;
let file: string;
beforeAll(async () => {
  const folder = await temporaryFolder('hibernation');
  const script = path.join(folder, 'counting.js');
  file = path.join(folder, 'film.mp4');
  await Promise.all([writeFile(script, COUNTING_WORKER), writeFile(file, 'nobody renders it')]);
  stack = await freshStack({ renderers: 0, workerCode: { script } });
});
afterAll(async () => await stack.close());

async function startsOf(id: string): Promise<number> {
  const response = await fetch(`${stack.url}/api/starts`);
  return v.parse(v.record(v.string(), v.number()), await response.json())[id] ?? 0;
}

/** A job that has been reported on over its renderer's socket, and its viewers. */
async function running() {
  const { id } = await exportOf(stack.url, file);
  const viewers = Array.from({ length: VIEWERS }, () => new Viewer(stack.url, id));
  await Promise.all(viewers.map((viewer) => viewer.hears(({ seq }) => seq > 0)));
  const renderer = await HandRenderer.takes(stack);
  await renderer.connect();
  await renderer.report(10);
  await renderer.report(48, { stage: 'rendering' });
  return { id, viewers, renderer };
}

interface Speaker {
  send(text: string): void;
}

/** Nothing happens but that each says the same again and again. */
async function idle(says: ReadonlyMap<Speaker, string>): Promise<void> {
  for (let left = IDLE_MS; left > 0; left -= PING_MS) {
    for (const [speaker, text] of says) speaker.send(text);
    await sleep(PING_MS);
  }
}

describe('an object whose viewers and renderer only ping', () => {
  it('leaves memory, and is made anew at the next event with its sockets and what they remember', async () => {
    const [asleep, awake] = [await running(), await running()];
    const loud = awake.viewers[0];
    const says = new Map<Speaker, string>();
    for (const speaker of [...asleep.viewers, asleep.renderer]) says.set(speaker, PING);
    // The same message in other bytes, which the platform does not answer by itself.
    if (loud) says.set(loud, ` ${PING}`);
    await idle(says);
    const pings = IDLE_MS / PING_MS;
    await until('every ping is answered', () =>
      asleep.viewers.every(({ pongs }) => pongs >= pings),
    );
    for (const { pongs } of asleep.viewers) expect(pongs).toBe(pings);
    expect(await startsOf(asleep.id)).toBe(1);

    // The renderer's socket remembers what it reported; nothing else does.
    expect(await jobOf(stack.url, asleep.id)).toMatchObject({ progress: 48, stage: 'rendering' });
    expect(await startsOf(asleep.id)).toBe(2);
    await asleep.renderer.report(60);
    for (const viewer of asleep.viewers) {
      await viewer.hears(({ job }) => job.progress === 60);
      // Who it is and how much it may say is remembered too: else it would be closed for speaking.
      viewer.send('{"type":"subscribe"}');
      await viewer.hears(({ type, job }) => type === 'status' && job.progress === 60);
    }

    await awake.renderer.report(60);
    await loud?.hears(({ job }) => job.progress === 60);
    expect([await startsOf(asleep.id), await startsOf(awake.id)]).toEqual([2, 1]);
    for (const { renderer, viewers } of [asleep, awake]) {
      renderer.close();
      for (const viewer of viewers) viewer.close();
    }
  });
});
