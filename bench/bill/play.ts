// Responsible for the life of one job of the real system, from its upload to the end of its retention,
// as browsers and a renderer bring it about. Must not look into the object.
import { PING, ReportReply } from '@export-jobs/protocol';
import type { RendererNotice } from '@export-jobs/protocol';
import { env } from 'cloudflare:workers';
import * as v from 'valibot';
import { vi } from 'vitest';
import {
  FakeRenderer,
  Viewer,
  call,
  createJob,
  getJob,
  provider,
  stubOf,
  textOf,
  ticketOf,
  urlOf,
} from '../../workers/test/harness.ts';
import { Platform, eventually, quiet, startOver } from './platform.ts';
import type { Watcher } from './platform.ts';
import type { Profile } from './profiles.ts';
import { ASSUMED_MS, tally } from './tally.ts';

/** How the time of an attempt is spent. */
const STAGES = [
  ['downloading', 0.05],
  ['rendering', 0.9],
  ['uploading', 0.05],
] as const;
const MAX_WAITS = 600;

/** A viewer that waits for the end, and is told where the file is. */
interface Seer extends Watcher {
  ended(): Promise<void>;
  url(): string;
}

interface Game {
  readonly id: string;
  readonly profile: Profile;
  readonly platform: Platform;
  readonly viewers: readonly Seer[];
}

/** Plays a job from its upload to the end of its retention; what it used is then in the tally. */
export async function play(profile: Profile): Promise<void> {
  const game = await playToTheEnd(profile);
  await game.platform.closeAll();
  const told = game.viewers[0]?.url() ?? urlOf(await getJob(game.id));
  const file = await call(told);
  if ((await textOf(file)) !== 'the film') throw new Error('not the file');
  await game.platform.pass(3 * 60_000);
  await game.platform.rest();
  // Nobody but the object calls anyone outside, and that is RunPod.
  const { calls } = vi.mocked(globalThis.fetch).mock;
  tally.add('objectMs', 'waiting for RunPod', calls.length * ASSUMED_MS.provider);
  tally.settle(Date.now());
}

/** Plays a job until it is complete and all of its viewers have heard of it, and are still there. */
export async function playToTheEnd(profile: Profile): Promise<Game> {
  startOver(env.INVOCATION_LOGS === '1');
  const { id } = await createJob();
  const viewers = await Promise.all(Array.from({ length: profile.viewers }, () => watch(id)));
  const game = { id, profile, viewers, platform: new Platform(stubOf(id), viewers) };
  for (let attempt = 1; attempt <= profile.failures; attempt += 1) {
    const worker = await claim(game, attempt);
    await render(game, worker, profile.renderMs / 2);
    await worker.wire.fail('encoder_failed');
  }
  const worker = await claim(game, profile.failures + 1);
  await render(game, worker, profile.renderMs);
  await worker.renderer.putOutput('the film');
  await worker.wire.complete('the film');
  await Promise.all(viewers.map((viewer) => viewer.ended()));
  await quiet();
  return game;
}

/** How a renderer makes its calls. */
interface Wire {
  /** Returns when the next one is due, ms. */
  report(percent: number, more: object): Promise<number>;
  fail(code: string): Promise<void>;
  complete(bytes: string): Promise<void>;
}

interface Worker {
  readonly renderer: FakeRenderer;
  readonly wire: Wire;
}

async function claim({ id, profile, platform }: Game, attempt: number): Promise<Worker> {
  const isHandedOver = () =>
    provider.tickets.some(({ input }) => input.job_id === id && input.attempt === attempt);
  await quiet();
  for (let waits = 0; !isHandedOver(); waits += 1) {
    if (waits > MAX_WAITS) throw new Error(`attempt ${attempt} is not handed over`);
    await platform.pass(1000);
  }
  await platform.pass(profile.queueMs);
  const renderer = new FakeRenderer(await ticketOf(id, attempt));
  const { source } = await renderer.claim();
  const input = await call(new URL(source.url).pathname, { headers: renderer.auth });
  await input.arrayBuffer();
  return { renderer, wire: profile.posts ? byPost(renderer) : await bySocket(renderer) };
}

function byPost(renderer: FakeRenderer): Wire {
  const taken = async (answer: Promise<Response>): Promise<unknown> => {
    const response = await answer;
    if (!response.ok) throw new Error(await response.text());
    return response.json();
  };
  return {
    async report(percent, more) {
      const reply = v.parse(ReportReply, await taken(renderer.progress(percent, more)));
      return reply.next_report_ms ?? 1000;
    },
    fail: async (code) => void (await taken(renderer.error(code))),
    complete: async (bytes) => void (await taken(renderer.complete(bytes))),
  };
}

/** Like the real one it is told the pace also between its reports, which here is only read with them. */
async function bySocket(renderer: FakeRenderer): Promise<Wire> {
  const channel = await renderer.connect();
  const taken = async (answer: Promise<RendererNotice>): Promise<number> => {
    const notice = await answer;
    if (notice.type !== 'ack') throw new Error(JSON.stringify(notice));
    return notice.next_report_ms ?? 1000;
  };
  const end = async (answer: Promise<RendererNotice>) => {
    await taken(answer);
    channel.socket.close(1000, 'done');
  };
  return {
    report: (percent, more) => taken(channel.progress(percent, more)),
    fail: (code) => end(channel.say('error', { error: 'it broke', code })),
    complete: (bytes) => end(channel.complete(bytes)),
  };
}

/**
 * Reports when a stage begins, and then as often as it is asked to. Halfway the object is taken out of
 * memory, because reports that come each second never leave it idle for long enough.
 */
async function render({ platform }: Game, { wire }: Worker, ms: number): Promise<void> {
  const from = Date.now();
  let stageEnd = from;
  let isMoved = false;
  for (const [stage, share] of STAGES) {
    stageEnd += ms * share;
    while (Date.now() < stageEnd) {
      const percent = (99 * (Date.now() - from)) / ms;
      const more = { stage, message: 'Frame 1 of 2', fps: 30, speed: 1.2, eta_ms: 1000 };
      const nextMs = await wire.report(percent, more);
      await platform.pass(Math.min(nextMs, stageEnd - Date.now()));
      if (isMoved || Date.now() < from + ms / 2) continue;
      isMoved = true;
      await platform.evict();
    }
  }
}

async function watch(id: string): Promise<Seer> {
  const viewer = await Viewer.open(id);
  const pongs = () => viewer.heard.filter(({ type }) => type === 'pong').length;
  return {
    async ping() {
      const before = pongs();
      viewer.socket.send(PING);
      await eventually(() => pongs() > before);
    },
    leave: () => viewer.socket.close(1000, 'seen'),
    url() {
      const end = viewer.events.at(-1);
      return end?.type === 'complete' ? end.output_url : '';
    },
    ended: () => eventually(() => viewer.events.at(-1)?.type === 'complete'),
  };
}
