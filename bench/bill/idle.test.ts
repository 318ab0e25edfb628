import { applyD1Migrations } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { PING } from '@export-jobs/protocol';
import { beforeAll, beforeEach, describe, expect, it } from 'vitest';
import {
  FakeRenderer,
  Viewer,
  createJob,
  playProvider,
  stubOf,
  ticketOf,
} from '../../workers/test/harness.ts';
import { Platform, eventually, quiet, startOver } from './platform.ts';
import { UNITS } from './prices.ts';
import { tally } from './tally.ts';

// What it costs to be watched while nothing happens, pings included.

const VIEWERS = 50;
/** How often the client pings, ms. */
const PING_MS = 25_000;
const MINUTE = 60_000;
playProvider();

beforeAll(async () => await applyD1Migrations(env.DB, env.TEST_MIGRATIONS));
beforeEach(async () => void (await env.DB.exec('DELETE FROM export_jobs')));

/** A job that was handed over, and its viewers. Their pings are the test's own. */
async function watched(count: number) {
  startOver(false);
  const { id } = await createJob();
  const viewers = await Promise.all(Array.from({ length: count }, () => Viewer.open(id)));
  const ticket = await ticketOf(id);
  // The feed is told of a new job when its maker has the answer already.
  await eventually(() => tally.causesOf('objectRequests')['publish'] === 1);
  await quiet();
  return { viewers, ticket, platform: new Platform(stubOf(id), []) };
}

/** Lets time pass in which each viewer pings and is answered. */
async function idle(platform: Platform, viewers: readonly Viewer[], ms: number): Promise<void> {
  for (let left = ms; left > 0; left -= PING_MS) {
    await platform.pass(Math.min(left, PING_MS));
    const pongs = () => viewers.flatMap(({ heard }) => heard.filter(({ type }) => type === 'pong'));
    const before = pongs().length;
    for (const { socket } of viewers) socket.send(PING);
    await eventually(() => pongs().length === before + viewers.length);
  }
  await quiet();
  tally.settle(Date.now());
}

/** What is used meanwhile, by unit and cause. Each start of the object asks once for its alarm. */
async function spent(meanwhile: () => Promise<void>): Promise<Record<string, number>> {
  const now = () =>
    UNITS.flatMap((unit) =>
      Object.entries(tally.causesOf(unit)).map(([cause, n]) => [`${unit}: ${cause}`, n] as const),
    );
  const before = new Map(now());
  await meanwhile();
  const more = now().map(([what, n]) => [what, n - (before.get(what) ?? 0)] as const);
  // The sweep reads the same few rows of D1 whether there is this job or not.
  return Object.fromEntries(more.filter(([what, n]) => n > 0 && !what.startsWith('d1RowsRead')));
}

describe('fifty viewers who ping while nothing happens', () => {
  it.for([VIEWERS, 0])(
    'let an object sleep whose job waits for a GPU: an hour costs the same with %s of them',
    async (count) => {
      const { viewers, platform } = await watched(count);
      expect(await spent(() => idle(platform, viewers, 60 * MINUTE))).toEqual({
        // It wakes to ask the provider, less and less often, and for the sweep once it is old.
        'objectRequests: alarm': 16,
        'objectRequests: create': 3,
        'objectRequests: wake': 3,
        'objectMs: events': 66,
        'objectRowsRead: getAlarm': 19,
        'objectRowsRead: kv job': 19,
        'objectRowsWritten: kv job': 20,
        'objectRowsWritten: setAlarm': 16,
        'd1RowsWritten: worker: UPDATE export_jobs': 3,
      });
    },
  );

  it('let an object sleep whose renderer is silent, and all hear the next report', async () => {
    const { viewers, ticket, platform } = await watched(VIEWERS);
    const renderer = new FakeRenderer(ticket);
    await renderer.claim();
    const channel = await renderer.connect();
    await channel.progress(10, { stage: 'rendering' });
    // The claim is written to D1, and the alarm that would have repeated that finds nothing to do.
    await idle(platform, viewers, MINUTE);

    expect(await spent(() => idle(platform, viewers, 2.5 * MINUTE))).toEqual({});

    const report = () => channel.progress(20, { stage: 'rendering' });
    expect(await spent(async () => void (await report()))).toEqual({
      'objectRequests: webSocketMessage': 0.05,
      'objectMs: messages': 1,
      'objectRowsRead: getAlarm': 1,
      'objectRowsRead: kv job': 1,
    });
    const told = () =>
      viewers.map(({ events }) =>
        events.flatMap((message) => (message.type === 'progress' ? [message.progress] : [])),
      );
    await eventually(() => told().every(({ length }) => length === 2));
    expect(told()).toEqual(viewers.map(() => [10, 20]));
  });
});
