// Responsible for the verdict on everything that was said. Pure.
import { isDeepStrictEqual } from 'node:util';
import type { Expectation } from './format.ts';
import { fits, type Known } from './match.ts';
import type { Seen } from './wire.ts';

/** Something that does not hold. */
export interface Violation {
  /** What should hold, as a sentence. */
  readonly that: string;
  readonly detail: string;
  readonly expected: unknown;
  /** The calls that it is about. */
  readonly calls: readonly Seen[];
}

/** Holds what was seen against expectations. @returns what does not hold. */
export function judge(
  expectations: readonly Expectation[],
  seen: readonly Seen[],
  known: Known,
): Violation[] {
  const marks = new Map<string, number>();
  for (const { as, see } of expectations) {
    const at = seen.findIndex((call) => fits(see, call, known));
    if (as !== undefined && at >= 0) marks.set(as, at);
  }
  return expectations.flatMap((expectation) => {
    const { that, see, after, before } = expectation;
    if (expectation.if !== undefined && !marks.has(expectation.if)) return [];
    const from = after === undefined ? -1 : (marks.get(after) ?? Infinity);
    const to = before === undefined ? Infinity : (marks.get(before) ?? Infinity);
    const found = seen.filter(
      (call, index) => index > from && index < to && fits(see, call, known),
    );
    const detail =
      wrongCount(expectation, found) ??
      wrongTime(expectation, found, seen[from]) ??
      wrongValues(expectation, found);
    if (detail === undefined) return [];
    const calls = found.length > 0 ? found : seen.filter((call) => isOfKind(expectation, call));
    return [{ that, detail, expected: expectation, calls }];
  });
}

function wrongCount({ times = [1, null] }: Expectation, found: readonly Seen[]) {
  const [least, most] = typeof times === 'number' ? [times, times] : times;
  if (found.length >= least && found.length <= (most ?? Infinity)) return undefined;
  const wanted = least === most ? `${least}` : `${least} to ${most ?? 'any number'}`;
  return `seen ${found.length} times instead of ${wanted}`;
}

function wrongTime(
  { withinMs, after }: Expectation,
  [first]: readonly Seen[],
  mark: Seen | undefined,
) {
  if (withinMs === undefined || !first || !mark) return undefined;
  const ms = first.at - mark.at;
  const [least, most] = typeof withinMs === 'number' ? [0, withinMs] : withinMs;
  if (ms >= least && ms <= most) return undefined;
  return `came ${ms} ms after "${after}" instead of ${least} to ${most}`;
}

function wrongValues({ same, distinct, grows }: Expectation, found: readonly Seen[]) {
  if (same !== undefined) {
    const [first, ...others] = found.map((call) => at(call, same));
    if (!others.every((other) => isDeepStrictEqual(first, other))) return `${same} differs`;
  }
  if (distinct !== undefined) {
    const values = found.map((call) => JSON.stringify(at(call, distinct)));
    if (new Set(values).size < values.length) return `${distinct} comes twice`;
  }
  if (grows !== undefined && !growsByEpoch(grows, found)) return `${grows} does not grow`;
  return undefined;
}

/** Each process counts for itself, and it is known by its epoch. */
function growsByEpoch(path: string, found: readonly Seen[]): boolean {
  const last = new Map<unknown, number>();
  return found.every((call) => {
    const epoch = at(call, 'body.epoch');
    const value = Number(at(call, path));
    const isMore = value > (last.get(epoch) ?? -Infinity);
    last.set(epoch, value);
    return isMore;
  });
}

/** What is at a path such as `body.seq`. */
function at(call: Seen, path: string): unknown {
  return path.split('.').reduce<unknown>((value, name) => {
    if (typeof value !== 'object' || value === null) return undefined;
    return Object.entries(value).find(([key]) => key === name)?.[1];
  }, call);
}

function isOfKind({ see: { side, call } }: Expectation, seen: Seen): boolean {
  const isSide = side === undefined || side === seen.side;
  return isSide && (call === undefined || [call].flat().some((name) => name === seen.call));
}
