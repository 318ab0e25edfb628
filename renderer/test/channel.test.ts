import { getEventListeners } from 'node:events';
import { readFile } from 'node:fs/promises';
import { BEARER_SUBPROTOCOL, CLOSE_CODES, RENDERER_SUBPROTOCOL } from '@export-jobs/protocol';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it, onTestFinished, vi } from 'vitest';
import { Channel, claimJob, LeaseLost } from '../src/callbacks.ts';
import { renderJob } from '../src/job.ts';
import type { Patience } from '../src/patience.ts';
import { pause } from '../src/runpod/pause.ts';
import { Fenced, Refused } from '../src/server-reply.ts';
import { startFakeServer, TOKEN, type FakeServerOptions, type Heard } from './fake-server.ts';
import { ffmpeg, IN_SECONDS, PICTURE_AND_TONE, SLOW, Studio } from './media.ts';

/** Pauses are short; nothing is given up that only a busy machine holds up. */
const SHORT: Patience = {
  baseMs: 20,
  capMs: 100,
  callMs: 30_000,
  dialBaseMs: 20,
  dialCapMs: 100,
  settledMs: 200,
  headStartMs: 30_000,
};
/** Gives up soon what is not answered. */
const HASTY = { callMs: 1000 };
const REPORT_MS = 50;
const OUTPUT = { output_video_key: 'out/film.mp4' };

/** A conversation that has claimed its job, without any work behind it. */
async function converse(
  options: Partial<FakeServerOptions> = {},
  patience: Partial<Patience> = {},
) {
  const server = await startFakeServer({
    source: Buffer.from('a film'),
    channel: true,
    reportMs: REPORT_MS,
    ...options,
  });
  const lines: string[] = [];
  const times = { ...SHORT, ...patience };
  const claim = { nonce: 'a-nonce-1', provider_job_id: null, worker_id: null, hardware: 'cpu' };
  const claimed = await claimJob(server.ticket, claim, new AbortController().signal, times);
  const channel = new Channel(
    server.ticket,
    claimed,
    (level, message, fields) => lines.push(JSON.stringify({ level, message, ...fields })),
    times,
  );
  channel.report({ progress: 10, stage: 'rendering' });
  onTestFinished(async () => {
    await channel.close();
    await server.close();
    expect(lines.join()).not.toContain(TOKEN);
  });
  const said = (via?: Heard['via'], name?: string) =>
    server.heard.filter(
      (call) =>
        call.name !== 'claim' &&
        (via === undefined || call.via === via) &&
        (name === undefined || call.name === name),
    );
  const reports = async (count: number, via?: Heard['via']) =>
    await soon(() => expect(said(via, 'progress').length).toBeGreaterThanOrEqual(count));
  const lost = async () => {
    await soon(() => expect(channel.signal.aborted).toBe(true));
    const reason: unknown = channel.signal.reason;
    return reason;
  };
  return { server, channel, lines, said, reports, lost };
}
const soon = (check: () => void) => vi.waitFor(check, { timeout: 20_000, interval: 5 });
const seqOf = (body: unknown) => v.parse(v.object({ seq: v.number() }), body).seq;
const seqs = (calls: readonly Heard[]) => calls.map(({ body }) => seqOf(body));

describe('a conversation by socket', () => {
  it('says everything after the claim there, each call under a number of its own', async () => {
    const { server, channel, said, reports } = await converse();
    await reports(3);
    await channel.complete(OUTPUT);
    expect(said('post')).toEqual([]);
    expect(seqs(said('socket'))).toEqual(said('socket').map((_, i) => i + 1));
    expect(said('socket').at(-1)).toMatchObject({
      name: 'complete',
      body: { epoch: 1, ...OUTPUT },
    });
    expect(server.channel.dials.map(({ protocols }) => protocols)).toEqual([
      [RENDERER_SUBPROTOCOL, `${BEARER_SUBPROTOCOL}${TOKEN}`],
    ]);
  });

  it('says a failure there', async () => {
    const { channel, said, reports } = await converse();
    await reports(1);
    await channel.fail({ error: 'broken', code: 'input_invalid', should_retry: false });
    expect(said('socket', 'error')).toMatchObject([{ body: { code: 'input_invalid' } }]);
    expect(said('post')).toEqual([]);
  });

  it('is closed in order when the conversation is, and leaves nothing behind', async () => {
    let refused = 0;
    const { server, channel, reports } = await converse({
      answer: ({ name }) =>
        name === 'complete' && (refused += 1) < 10 ? 'storage_unavailable' : undefined,
    });
    await reports(3);
    const listeners = getEventListeners(channel.signal, 'abort').length;
    await channel.complete(OUTPUT);
    expect(getEventListeners(channel.signal, 'abort').length).toBeLessThanOrEqual(listeners);
    await channel.close();
    expect(await server.channel.last.closed).toBe(1000);
    await pause(200);
    expect(server.channel.dials).toHaveLength(1);
    expect(server.channel.open).toBe(0);
  });

  it('is told what the server does not accept', async () => {
    const { channel, said, reports } = await converse({
      answer: ({ name }) => (name === 'complete' ? 'output_rejected' : undefined),
    });
    await reports(1);
    await expect(channel.complete(OUTPUT)).rejects.toEqual(new Refused(422, 'output_rejected'));
    expect(said('socket', 'complete')).toHaveLength(1);
  });

  it('does not hear what it does not understand', async () => {
    const { server, channel, said, reports } = await converse();
    await reports(1);
    const { channel: theirs } = server;
    theirs.last.sendBinary(Buffer.from('{"type":"stop","code":"not_owner"}'));
    for (const text of [
      'not JSON',
      '',
      'null',
      '{"type":"from a later version","code":"not_owner"}',
      '{"type":"ack"}',
      '{"type":"ack","seq":999}',
      '{"type":"refused","seq":999,"problem":{"stop":true}}',
      '{"type":"pace","lease_ms":-1,"next_report_ms":-1}',
      '{"type":"pong","later":1}',
    ]) {
      theirs.say(text);
    }
    const before = said('socket').length;
    await reports(before + 3);
    await channel.complete(OUTPUT);
    expect(channel.signal.aborted).toBe(false);
    expect(theirs.dials).toHaveLength(1);
    expect(said('post')).toEqual([]);
  });
});

describe('without a socket', () => {
  it('says everything by POST where none is offered', async () => {
    const { server, channel, said, reports } = await converse({ channel: false });
    await reports(3);
    await channel.complete(OUTPUT);
    expect(seqs(said('post'))).toEqual(said('post').map((_, i) => i + 1));
    expect(server.channel.dials).toEqual([]);
  });

  it('says everything by POST where the upgrade is refused, and dials again', async () => {
    const { server, channel, lines, said, reports } = await converse({ refuseDial: () => 403 });
    await reports(3);
    await soon(() => expect(server.channel.dials.length).toBeGreaterThan(3));
    await channel.complete(OUTPUT);
    expect(said('socket')).toEqual([]);
    expect(said('post', 'complete')).toHaveLength(1);
    expect(lines.filter((line) => line.includes('no socket'))).toHaveLength(1);
  });

  it('does not wait for a dial that nobody answers, and gives it up', async () => {
    const { server, channel, said, reports } = await converse(
      { refuseDial: (nth) => (nth === 1 ? 0 : undefined) },
      { ...HASTY, headStartMs: 60 },
    );
    await reports(1, 'post');
    await reports(1, 'socket');
    expect(server.channel.dials).toHaveLength(2);
    const [, second] = server.channel.dials;
    expect(said('post')[0]?.at).toBeLessThan(second?.at ?? 0);
    expect(server.channel.open).toBe(1);
    await channel.complete(OUTPUT);
    expect(said('socket', 'complete')).toHaveLength(1);
  });

  it.each(['no address', 'ftp://127.0.0.1/', 'ws://127.0.0.1:1/#fragment'])(
    'goes on by POST where the address is wrong (%s), and says so once',
    async (address) => {
      const { channel, lines, said, reports } = await converse({ channel: address });
      await reports(5, 'post');
      await channel.complete(OUTPUT);
      expect(said('post', 'complete')).toHaveLength(1);
      expect(lines).toHaveLength(1);
      expect(lines[0]).toContain('cannot be dialled');
    },
  );
});

describe('a socket that is lost', () => {
  it('loses nothing when it is cut: the call is said again, and the next socket is used', async () => {
    let cuts = 0;
    const { server, channel, said, reports } = await converse({
      answer: ({ via, name }) =>
        via === 'socket' && name === 'progress' && (cuts += 1) === 2 ? 'hang up' : undefined,
    });
    await reports(2, 'socket');
    await reports(5, 'socket');
    await channel.complete(OUTPUT);
    expect(said(undefined, 'complete')).toMatchObject([{ via: 'socket' }]);
    expect(server.channel.dials).toHaveLength(2);
    const numbers = seqs(said());
    expect(numbers).toEqual(numbers.map((_, i) => i + 1));
  });

  it('is missed at once when it ends between two calls, and dialled again', async () => {
    const { server, reports } = await converse();
    await reports(2, 'socket');
    server.channel.last.close(CLOSE_CODES.stale);
    await soon(() => expect(server.channel.dials).toHaveLength(2));
    const before = server.heard.length;
    await reports(before + 2, 'socket');
  });

  it.each(['hang up', 'swallow'] as const)(
    'has a completion said again as it was, the other way, when its answer is lost (%s)',
    async (fault) => {
      let completes = 0;
      const { channel, said, reports } = await converse(
        {
          answer: ({ name }) => (name === 'complete' && (completes += 1) === 1 ? fault : undefined),
        },
        HASTY,
      );
      await reports(1, 'socket');
      await channel.complete(OUTPUT);
      const [first, second, ...more] = said(undefined, 'complete');
      expect([first?.via, second?.via, more]).toEqual(['socket', 'post', []]);
      expect(second?.body).toEqual(first?.body);
    },
  );

  it('is given up when it swallows a call, and another one is dialled', async () => {
    let dials = 0;
    const { server, said, reports } = await converse(
      {
        refuseDial: (nth) => {
          dials = nth;
          return undefined;
        },
        answer: ({ via }) => (via === 'socket' && dials === 1 ? 'swallow' : undefined),
      },
      HASTY,
    );
    await reports(1, 'post');
    const [swallowed] = said('socket');
    const [next] = said('post');
    // It is heard later than it was sent, the more so on a busy machine.
    expect((next?.at ?? 0) - (swallowed?.at ?? 0)).toBeGreaterThan(HASTY.callMs / 2);
    await reports(3, 'socket');
    expect(server.channel.dials).toHaveLength(2);
    expect(said('socket').filter(({ at }) => at < (server.channel.dials[1]?.at ?? 0))).toHaveLength(
      1,
    );
  });

  it('is known to be lost by a report that was not waited for', async () => {
    const callMs = 2000;
    const { channel, said, reports } = await converse(
      { answer: ({ via }) => (via === 'socket' ? 'swallow' : undefined) },
      { callMs },
    );
    await reports(1, 'socket');
    await pause(callMs / 2);
    const completedAt = performance.now();
    await channel.complete(OUTPUT);
    // Half of a call's patience is left to the report; the completion has not begun one of its own.
    expect(performance.now() - completedAt).toBeLessThan(callMs - 20);
    expect(said(undefined, 'complete').map(({ via }) => via)).toEqual(['socket', 'post']);
  });

  it('costs no lease, though every socket swallows what it is given', async () => {
    const leaseMs = 2500;
    const { channel, said } = await converse(
      { leaseMs, answer: ({ via }) => (via === 'socket' ? 'swallow' : undefined) },
      { callMs: 300 },
    );
    await pause(2 * leaseMs);
    expect(channel.signal.aborted).toBe(false);
    expect(said('socket').length).toBeGreaterThan(2);
  });

  it('is dialled at growing distances while it does not last', async () => {
    const { server, reports } = await converse(
      {},
      { dialBaseMs: 40, dialCapMs: 10_000, settledMs: 60_000 },
    );
    const hangUp = setInterval(() => server.channel.cut(), 5);
    onTestFinished(() => clearInterval(hangUp));
    const { dials } = server.channel;
    await soon(() => expect(dials.length).toBeGreaterThan(5));
    clearInterval(hangUp);
    const gaps = dials.slice(1).map(({ at }, n) => at - (dials[n]?.at ?? at));
    // After 20 to 40 ms, then 40 to 80, and so on; a timer may be a millisecond early.
    for (const [n, gap] of gaps.entries()) expect(gap).toBeGreaterThanOrEqual(20 * 2 ** n - 2);
    await reports(1);
  });

  it('is dialled soon again once one has lasted', async () => {
    const { server, reports } = await converse(
      { refuseDial: (nth) => (nth < 7 ? 503 : undefined) },
      { dialBaseMs: 40, dialCapMs: 10_000 },
    );
    await reports(1, 'socket');
    await pause(2 * SHORT.settledMs);
    const cutAt = Date.now();
    server.channel.cut();
    await soon(() => expect(server.channel.dials).toHaveLength(8));
    // After 20 to 40 ms; the seventh failure in a row would make it 1280 at least.
    expect((server.channel.dials[7]?.at ?? 0) - cutAt).toBeLessThan(1200);
  });
});

describe('a server that says to stop', () => {
  it.each<[how: string, tell: (server: Awaited<ReturnType<typeof startFakeServer>>) => void]>([
    ['by a notice', ({ channel }) => channel.say({ type: 'stop', code: 'job_finished' })],
    ['by closing', ({ channel }) => channel.last.close(CLOSE_CODES.fenced)],
  ])('%s is obeyed at once, and hears no more', async (_, tell) => {
    const { server, said, reports, lost } = await converse({ reportMs: 30_000 });
    await reports(1, 'socket');
    const before = said().length;
    tell(server);
    expect(await lost()).toBeInstanceOf(Fenced);
    await pause(300);
    // Not even the report from whose answer it would have learnt it.
    expect(said()).toHaveLength(before);
    expect(server.channel.dials).toHaveLength(1);
    expect(server.channel.open).toBe(0);
  });

  it('by refusing a report is obeyed', async () => {
    const { lost } = await converse({
      answer: ({ via }) => (via === 'socket' ? 'stale_attempt' : undefined),
    });
    expect(await lost()).toEqual(new Fenced('stale_attempt'));
  });

  it('ends a last word that it has not answered', async () => {
    const { server, channel, said, reports } = await converse({
      answer: ({ name }) => (name === 'complete' ? 'swallow' : undefined),
    });
    await reports(1, 'socket');
    const completed = channel.complete(OUTPUT);
    await soon(() => expect(said('socket', 'complete')).toHaveLength(1));
    server.channel.say({ type: 'stop', code: 'not_owner' });
    await expect(completed).rejects.toEqual(new Fenced('not_owner'));
    expect(said(undefined, 'complete')).toHaveLength(1);
  });
});

describe('the lease', () => {
  it('is renewed by what is acknowledged on the socket, and by nothing else', async () => {
    let silent = false;
    const leaseMs = 2000;
    const { channel, said, reports, lost } = await converse(
      { leaseMs, answer: () => (silent ? 'swallow' : undefined) },
      { callMs: 300 },
    );
    await reports(1, 'socket');
    await pause(1.5 * leaseMs);
    expect(channel.signal.aborted).toBe(false);
    silent = true;
    const before = said().length;
    const silentAt = performance.now();
    expect(await lost()).toBeInstanceOf(LeaseLost);
    // From when the last report was sent that was acknowledged, which was just before.
    expect(performance.now() - silentAt).toBeGreaterThan(leaseMs / 2);
    expect(performance.now() - silentAt).toBeLessThan(2 * leaseMs);
    expect(said().length).toBeGreaterThan(before);
  });

  it('runs out for a last word that nobody acknowledges', async () => {
    const { channel, said, reports } = await converse(
      { leaseMs: 3000, answer: ({ name }) => (name === 'complete' ? 'swallow' : undefined) },
      { callMs: 300 },
    );
    await reports(1, 'socket');
    await expect(channel.complete(OUTPUT)).rejects.toBeInstanceOf(LeaseLost);
    expect(said(undefined, 'complete').length).toBeGreaterThan(1);
  });

  it('has the length that the server asks for, from what was acknowledged last', async () => {
    const { server, reports, lost } = await converse({
      reportMs: 30_000,
      answer: ({ name, body }) => (name === 'progress' && seqOf(body) > 1 ? 'swallow' : undefined),
    });
    await reports(1, 'socket');
    await pause(1500);
    const toldAt = performance.now();
    server.channel.say({ type: 'pace', lease_ms: 2000, next_report_ms: 30_000 });
    expect(await lost()).toBeInstanceOf(LeaseLost);
    // Half a second is left of it; from now on it would be two.
    expect(performance.now() - toldAt).toBeLessThan(1900);
  });
});

describe('the pace', () => {
  it('that grows faster has a report sent at once, and is kept', async () => {
    let reportMs = 30_000;
    const { server, said, reports } = await converse({ reportMs: () => reportMs });
    await reports(1, 'socket');
    await pause(100);
    const before = said().length;
    reportMs = 1500;
    server.channel.say({ type: 'pace', lease_ms: 45_000, next_report_ms: reportMs });
    const toldAt = Date.now();
    await reports(before + 2);
    const [atOnce, next] = said()
      .slice(before)
      .map(({ at }) => at - toldAt);
    expect(atOnce).toBeLessThan(reportMs - 50);
    // The pace before would have it in a third of the lease.
    expect((next ?? 0) - (atOnce ?? 0)).toBeGreaterThan(reportMs - 50);
    expect((next ?? 0) - (atOnce ?? 0)).toBeLessThan(10_000);
  });

  it('that grows slower has none sent', async () => {
    const { server, said, reports } = await converse({ reportMs: 10_000 });
    await reports(1, 'socket');
    const before = said().length;
    server.channel.say({ type: 'pace', lease_ms: 45_000, next_report_ms: 14_000 });
    await pause(300);
    expect(said()).toHaveLength(before);
  });
});

describe.skipIf(!ffmpeg)('a render by socket (skipped where there is no ffmpeg)', () => {
  let studio: Studio;
  let short: Buffer;
  let long: Buffer;
  beforeAll(async () => {
    studio = await Studio.open();
    short = await readFile(await studio.make('short.mp4', PICTURE_AND_TONE(1)));
    long = await readFile(await studio.make('long.mp4', PICTURE_AND_TONE(60, '640x360', 30)));
  });
  afterAll(async () => {
    await studio.close();
  });

  async function render(options: FakeServerOptions) {
    if (!ffmpeg) throw new Error('there is no ffmpeg here');
    const server = await startFakeServer({ channel: true, reportMs: 50, ...options });
    onTestFinished(() => server.close());
    const log = () => undefined;
    const { signal } = new AbortController();
    const ended = renderJob(
      { id: 'rp-1', input: server.ticket },
      { signal, workerId: 'w1', gpuType: undefined, log, progress: () => undefined },
      { ffmpeg, root: studio.root, timing: { retryMs: 20, patience: SHORT } },
    );
    return { server, ended };
  }

  it('needs no POST but its claim', async () => {
    const { server, ended } = await render({ source: short });
    expect(await ended).toMatchObject({ output: { complete: true } });
    const posts = server.heard.filter(({ via }) => via === 'post').map(({ name }) => name);
    expect(posts).toEqual(['claim', 'source', 'output']);
    expect(server.progress().map(({ stage }) => stage)).toContain('rendering');
  });

  it('stops its encoder when it is told to, and says no more', async () => {
    const { server, ended } = await render({ source: long, options: SLOW, reportMs: 30_000 });
    await soon(() =>
      expect(server.progress().some(({ stage }) => stage === 'rendering')).toBe(true),
    );
    await pause(200);
    const before = server.heard.length;
    const toldAt = performance.now();
    server.channel.say({ type: 'stop', code: 'job_finished' });
    expect(await ended).toEqual({ output: { fenced: true } });
    expect(performance.now() - toldAt).toBeLessThan(IN_SECONDS);
    expect(server.heard).toHaveLength(before);
    expect(server.said('error')).toEqual([]);
    expect(server.said('complete')).toEqual([]);
  });
});
