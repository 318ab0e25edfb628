// Responsible for whether a call is what a pattern describes. Pure.
import { isDeepStrictEqual } from 'node:util';
import { isPlaceholder, type Pattern, type Placeholder } from './format.ts';
import type { Seen } from './wire.ts';

/** What placeholders stand for, as far as it does not depend on the call. */
export type Known = Readonly<Partial<Record<Placeholder, unknown>>>;

/** Whether a call fits: every part of it that the pattern names is as the pattern says. */
export function fits({ not, ...pattern }: Pattern, seen: Seen, known: Known): boolean {
  if (not && fits(not, seen, known)) return false;
  const here: Known = { ...known, $worker: seen.worker, ...ofEpoch(seen.epoch) };
  const { holds, minBytes = 0, path, exactBody, call, status, ...partial } = pattern;
  return (
    seen.bytes >= minBytes &&
    oneOf(call, seen.call) &&
    oneOf(status, seen.status) &&
    ifAny(path, (wanted) => equal(wanted.split('/'), seen.path.split('/'), here)) &&
    ifAny(exactBody, (wanted) => equal(wanted, seen.body, here)) &&
    ifAny(holds, (name) => said(seen).includes(String(known[name]))) &&
    includes(partial, seen, here)
  );
}

function ifAny<T>(wanted: T | undefined, isSo: (wanted: T) => boolean): boolean {
  return wanted === undefined || isSo(wanted);
}

/** Where an epoch's output is kept. */
export function outputKey(epoch: number): string {
  return `out/conformance/job/1/${epoch}/video`;
}

function ofEpoch(epoch: number): Known {
  return { $epoch: epoch, $outputKey: outputKey(epoch) };
}

function oneOf<T>(wanted: T | readonly T[] | undefined, actual: T | undefined): boolean {
  return wanted === undefined || [wanted].flat().some((one) => one === actual);
}

/** Everything that a caller chose to say. */
function said({ path, query, headers, body }: Seen): string {
  return JSON.stringify([path, query, headers, body]);
}

/** Whether everything that is expected is there; objects may have more fields. */
function includes(expected: unknown, actual: unknown, known: Known): boolean {
  if (!isRecord(expected)) return equal(expected, actual, known);
  if (!isRecord(actual)) return false;
  return Object.entries(expected).every(
    ([name, value]) => value === undefined || includes(value, actual[name], known),
  );
}

/** Whether it is what is expected and nothing more. */
function equal(expected: unknown, actual: unknown, known: Known): boolean {
  if (typeof expected === 'string' && isPlaceholder(expected)) {
    return isStoodFor(expected, actual, known);
  }
  if (Array.isArray(expected)) {
    return (
      Array.isArray(actual) &&
      actual.length === expected.length &&
      expected.every((value, index) => equal(value, actual[index], known))
    );
  }
  if (!isRecord(expected)) return isDeepStrictEqual(expected, actual);
  if (!isRecord(actual)) return false;
  const names = new Set([...Object.keys(expected), ...Object.keys(actual)]);
  return [...names].every((name) => equal(expected[name], actual[name], known));
}

function isStoodFor(placeholder: Placeholder, actual: unknown, known: Known): boolean {
  if (placeholder === '$any') return actual !== undefined;
  if (placeholder === '$absent') return actual === undefined;
  if (placeholder === '$text') return typeof actual === 'string' && actual !== '';
  if (placeholder === '$number') return typeof actual === 'number';
  return known[placeholder] !== undefined && known[placeholder] === actual;
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
