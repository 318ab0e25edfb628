// Responsible for which inputs a run consists of. The nth one of a seed is always the same, but for the tokens
// and ids of the run.
import { Random } from '../faults/random.ts';
import type { Generator, Route } from './calls.ts';
import { falseCaller, falseLink, falseUpload, wrongOwner } from './credentials.ts';
import { notAllowed } from './fence.ts';
import { wrongHeader } from './headers.ts';
import {
  badShape,
  badValue,
  notJson,
  tooLarge,
  twice,
  unknownKey,
  wrongMethod,
  wrongPath,
  wrongQuery,
  wrongType,
} from './http.ts';
import type { Input } from './input.ts';
import { brokenHttp } from './raw.ts';
import { badFrames, badHandshake } from './sockets.ts';
import { wrongSource } from './sources.ts';
import { LANES, type World } from './world.ts';

/** How many of a hundred inputs come from each. */
const SHARES: readonly (readonly [number, Generator])[] = [
  [13, badValue],
  [6, badShape],
  [5, unknownKey],
  [2, twice],
  [5, notJson],
  [2, tooLarge],
  [3, wrongType],
  [5, wrongQuery],
  [5, wrongMethod],
  [7, wrongPath],
  [5, wrongHeader],
  [8, falseCaller],
  [3, falseLink],
  [2, falseUpload],
  [3, wrongSource],
  [4, wrongOwner],
  [6, notAllowed],
  [6, brokenHttp],
  [8, badFrames],
  [2, badHandshake],
];
const DRAWN = SHARES.flatMap(([share, generator]) =>
  Array.from({ length: share }, () => generator),
);

/** Draws the nth input of a seed. */
export function inputAt(world: World, routes: readonly Route[], seed: number, n: number): Input {
  const random = new Random(`fuzz ${world.mode} ${seed}`).fork(`${n}`);
  const scene = { world, random, lane: n % LANES, address: addressOf(seed, n) };
  return random.pick(DRAWN)(scene, routes);
}

/** An address in a network of its own: whoever shares one is counted together. */
function addressOf(seed: number, n: number): string {
  const [high, low] = [Math.floor(n / 0x10000), n % 0x10000].map((part) => part.toString(16));
  return `2001:${(seed % 0x10000).toString(16)}:${high}:${low}::1`;
}
