// Responsible for what must hold. Pure: what came of each input, and how the world looked before and after.
import { PROBLEMS, Problem, type ProblemCode } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { Answer, Expect, Outcome } from './input.ts';

/** Traces of the inside, and things that open doors. */
const LEAK =
  /\bat .*\.[cm]?[tj]s:\d|node_modules|\bej1\.|\bejk_|workers\/src\/|file:\/\/\/|workerd\//;

/** What the runtime says by itself to what is no HTTP: a line of its own, and no more. */
const PLATFORM_SAYS = /^(ERROR: [^\n]{1,200}|Bad Request|Internal Server Error|Not Found|)$/;

/** Longer than this no bad input may take, ms. */
export const SLOW_MS = 10_000;

/** What is wrong with what came of one input; nothing when all is well. `secrets` must not be in any answer. */
export function faultsIn(expect: Expect, outcome: Outcome, secrets: readonly string[]): string[] {
  const { answer, end, ms } = outcome;
  const leaks = answer ? leaksIn(answer, secrets) : [];
  if (end === 'silent') return [...leaks, `hangs: no end within ${Math.round(ms)} ms`];
  const slow = ms > SLOW_MS ? [`took ${Math.round(ms)} ms`] : [];
  return [...leaks, ...slow, ...byExpectation(expect, outcome)];
}

function byExpectation(expect: Expect, outcome: Outcome): string[] {
  const { answer } = outcome;
  switch (expect.by) {
    case 'refusal':
      if (answer) return refusalFaults(expect, answer);
      // Only to what is no HTTP may an end be the answer.
      return expect.platform.length > 0 ? [] : ['closed without an answer'];
    case 'socket':
      return socketFaults(expect, outcome);
    case 'nothing':
      // Whatever it is, it was not asked for, but it may be said: that half of it is already wrong.
      return answer && answer.status >= 500 && !isPlatform(answer)
        ? [`answers ${answer.status}`]
        : [];
  }
}

type RefusalExpected = Extract<Expect, { by: 'refusal' }>;

function refusalFaults(expected: RefusalExpected, answer: Answer): string[] {
  const { codes, platform, head } = expected;
  const { status, headers, body } = answer;
  if (isRateLimit(answer)) return [];
  if (platform.includes(status) && isPlatform(answer)) return [];
  const code = codeOf(answer);
  const isRight = head
    ? codes.some((one) => PROBLEMS[one].status === status)
    : code !== null && codes.includes(code);
  if (isRight) return status === 405 && !headers.has('allow') ? ['405 without Allow'] : [];
  if (status >= 500) return [`answers ${status}: ${cut(body)}`];
  if (status < 400) return [`is let through: ${status} ${cut(body)}`];
  if (code === null) return [`${status}, and no problem: ${cut(body)}`];
  return [`refused as ${code} (${status}), not as ${codes.join(' or ')}`];
}

function socketFaults(expect: Extract<Expect, { by: 'socket' }>, outcome: Outcome): string[] {
  const { answer, texts, closeCode, end } = outcome;
  if (!answer) return ['closed without an answer'];
  if (isRateLimit(answer)) return [];
  if (answer.status !== 101) return [`did not open: ${answer.status} ${cut(answer.body)}`];
  if (closeCode !== null) {
    return expect.closes.includes(closeCode) ? [] : [`closed with ${closeCode}`];
  }
  // Whoever breaks the protocol may be cut off without a word.
  if (end === 'closed') return expect.closes.length > 0 ? [] : ['closed without a word'];
  // How often to report may be said at any time, and answers nothing.
  const last = texts.findLast((text) => !v.is(Pace, text)) ?? '';
  const notice = v.safeParse(Notice, last);
  if (!notice.success) return expect.pong ? [] : ['is answered as if it were right'];
  const { code } = notice.output.problem;
  return expect.notices.some((one) => one === code) ? [] : [`refused as ${code}`];
}

const Notice = v.pipe(
  v.string(),
  v.parseJson(),
  v.object({ type: v.literal('refused'), problem: Problem }),
);
const Pace = v.pipe(v.string(), v.parseJson(), v.object({ type: v.literal('pace') }));
const ProblemText = v.pipe(v.string(), v.parseJson(), Problem);

/** The code of a problem that is one in every way; else null. */
function codeOf({ status, headers, body }: Answer): ProblemCode | null {
  const parsed = v.safeParse(ProblemText, body);
  if (!parsed.success || headers.get('content-type') !== 'application/problem+json') return null;
  const { code } = parsed.output;
  const known = isCode(code) && PROBLEMS[code].status === status && parsed.output.status === status;
  return known ? code : null;
}

function isCode(code: string): code is ProblemCode {
  return Object.hasOwn(PROBLEMS, code);
}

/** Whether the runtime has answered, and not the Worker. */
export function isPlatform({ headers, body }: Answer): boolean {
  return !(headers.get('content-type') ?? '').includes('json') && PLATFORM_SAYS.test(body);
}

/** Whether somebody was told to come less often, and when to come again. */
export function isRateLimit(answer: Answer): boolean {
  return codeOf(answer) === 'rate_limited' && answer.headers.has('retry-after');
}

/** Refusals say nothing of the inside; what is let through is a fault of its own. */
function leaksIn({ status, headers, body }: Answer, secrets: readonly string[]): string[] {
  if (status < 400) return [];
  const all = [...headers.values(), body].join('\n');
  const found = LEAK.exec(all)?.[0] ?? secrets.find((secret) => all.includes(secret));
  return found === undefined ? [] : [`leaks "${cut(found)}" in ${cut(body)}`];
}

/** The world as it was, and is: by what it is about. */
export type Look = ReadonlyMap<string, string>;

/** What is not as it was. */
export function changesBetween(before: Look, after: Look): string[] {
  const names = new Set([...before.keys(), ...after.keys()]);
  return [...names].flatMap((name) => {
    const [was, is] = [before.get(name), after.get(name)];
    if (was === is) return [];
    if (was === undefined) return [`${name} is new: ${cut(is ?? '')}`];
    if (is === undefined) return [`${name} is gone: ${cut(was)}`];
    return [`${name} has changed: ${difference(was, is)}`];
  });
}

/** Where two texts part, with some of each. */
function difference(was: string, is: string): string {
  let at = 0;
  while (at < was.length && was[at] === is[at]) at += 1;
  const from = Math.max(0, at - 40);
  return `…${was.slice(from, from + 120)}… became …${is.slice(from, from + 120)}…`;
}

/** How memory went: the medians of the two halves of a run, bytes. */
export function growthOf(samples: readonly number[]): { first: number; second: number } {
  const middle = Math.floor(samples.length / 2);
  return { first: median(samples.slice(0, middle)), second: median(samples.slice(middle)) };
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;
}

function cut(text: string): string {
  return text.length > 200 ? `${text.slice(0, 200)}…` : text;
}
