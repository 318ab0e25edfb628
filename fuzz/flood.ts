// Responsible for a flood that hits a limit on purpose: whoever guesses is shut out, and nobody else.
import type { Answer } from './input.ts';
import { isRateLimit } from './verdict.ts';
import { refusal } from './input.ts';
import { bytesOf } from './request.ts';
import { exchange } from './wire.ts';
import type { World } from './world.ts';

/** More than a stranger may try in a minute from one address, and in the next. */
const GUESSES = 260;
const AT_ONCE = 10;

/** What did not hold. */
export async function floodFaults(world: World): Promise<string[]> {
  const answers: (Answer | null)[] = [];
  const guess = `ejk_${'0'.repeat(12)}_${'0'.repeat(60)}`;
  for (let n = 0; n < GUESSES; n += AT_ONCE) {
    const some = Array.from({ length: AT_ONCE }, () => ask(world, guess, 'one-and-the-same'));
    answers.push(...(await Promise.all(some)));
  }
  const limited = answers.filter((answer) => answer && isRateLimit(answer)).length;
  const others = answers.filter(
    (answer) => !answer || (answer.status !== 401 && answer.status !== 429),
  );
  const owner = await ask(world, world.acme.keys[0] ?? '', 'one-and-the-same');
  return [
    ...(limited === 0 ? [`${GUESSES} guesses at a key from one address, and no limit`] : []),
    ...(others.length > 0 ? [`guesses at a key were answered ${others[0]?.status}`] : []),
    ...(owner?.status === 200 ? [] : [`an owner was shut out with the guesser: ${owner?.status}`]),
  ];
}

async function ask({ port }: World, key: string, address: string): Promise<Answer | null> {
  const headers = [
    ['host', `localhost:${port}`],
    ['cf-connecting-ip', address],
    ['authorization', `Bearer ${key}`],
  ] as const;
  const pieces = [bytesOf({ method: 'GET', target: '/api/jobs', headers, body: null })];
  const input = { kind: 'flood', what: 'a guess', pieces, frames: [], expect: refusal([]) };
  return (await exchange(port, input)).answer;
}
