// Holds the suite itself to account: a worker that is right passes, and each of its sins is named.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { readAlways, readCases } from './format.ts';
import { play } from './play.ts';

const WORKER = path.join(import.meta.dirname, 'test', 'worker.js');
/** That worker takes a millisecond for each byte. */
const sources = {
  film: Buffer.alloc(300, 'f'),
  'long film': Buffer.alloc(30_000, 'f'),
  broken: Buffer.from('b'),
};
const always = await readAlways();
const cases = await readCases();
const BY_POST = ['plain-render', 'stop-by-runpod'];
const BY_SOCKET = ['socket-refused', 'socket-render', 'socket-stop'];

const RAW_KEY = "every call to RunPod carries RunPod's key as it is";
const HIDDEN_KEY = "RunPod's key is never shown to the server";
const NOTHING_AFTER =
  'it reports nothing once it has said how it ended, but for what it gave up itself';
const TICKET = "every callback carries the ticket's token as a bearer token";
const CLAIM_FIRST = 'it says nothing to the server before it claims';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'conformance-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** @returns the sentences that do not hold, by case. */
async function wrongs(sins: string, names = BY_POST): Promise<Record<string, string[]>> {
  const command = [process.execPath, WORKER];
  const env = { SINS: sins };
  const verdicts = await Promise.all(
    cases
      .filter(({ name }) => names.includes(name))
      .map((test) => play(test, { command, env, sources, folder, always })),
  );
  return Object.fromEntries(
    verdicts.map(({ name, violations }) => [name, violations.map(({ that }) => that)]),
  );
}

describe('the suite', { timeout: 60_000 }, () => {
  it('finds nothing wrong with a worker in another language that is right', async () => {
    expect(await wrongs('')).toEqual({ 'plain-render': [], 'stop-by-runpod': [] });
  });

  it.each<[sin: string, inPlainRender: string[], inStopByRunpod: string[]]>([
    ['says Bearer', [RAW_KEY], [RAW_KEY]],
    ['builds an address', ['it pings where it was told to'], ['it pings where it was told to']],
    ['shows the key', [HIDDEN_KEY], [HIDDEN_KEY]],
    ['reports before it claims', [CLAIM_FIRST], [CLAIM_FIRST]],
    ['reports after complete', [NOTHING_AFTER], []],
    ['sends a result after a stop', [], ['no result is sent to RunPod']],
    [
      'leaves its encoder',
      ['nothing outlives it'],
      ['step 6 of the case: workless', 'nothing outlives it'],
    ],
  ])('names the sin of a worker that %s, and nothing else', async (sin, plain, stop) => {
    expect(await wrongs(sin)).toEqual({ 'plain-render': plain, 'stop-by-runpod': stop });
  });

  it.each<[sin: string, inRefused: string[], inRender: string[], inStop: string[]]>([
    ['uses its socket', [], [], []],
    ['stays with POST', [], [], []],
    ['dials as nobody', [TICKET], [TICKET], [TICKET]],
    ['does not stop', [], [], ['step 6 of the case: workless', 'nothing outlives it']],
    ['reports after complete', [NOTHING_AFTER], [NOTHING_AFTER], []],
  ])('is fair to a worker that is offered a socket and %s', async (sin, refused, render, stop) => {
    expect(await wrongs(sin, BY_SOCKET)).toEqual({
      'socket-refused': refused,
      'socket-render': render,
      'socket-stop': stop,
    });
  });
});
