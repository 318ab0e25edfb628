// Responsible for the form of a case file: what may stand in it, and that it makes sense. The README
// says what it means.
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { ExportOptions } from '@export-jobs/protocol';
import * as v from 'valibot';
import { Rules } from '../renderer/src/runpod/stand-in/index.ts';
import { LEADS } from './foreign.ts';
import { CALLS_OF_SERVER, CALLS_OF_STORE, ServerRules } from './server-rules.ts';
import { SOURCES } from './sources.ts';

const Millis = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(60_000));
const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Text = v.pipe(v.string(), v.minLength(1));
const Worker = v.picklist(['w1', 'w2']);

/** What may stand for a value that is known only when the case is played. */
const PLACEHOLDERS = [
  '$any',
  '$text',
  '$number',
  '$absent',
  '$jobId',
  '$endpoint',
  '$worker',
  '$epoch',
  '$token',
  '$key',
  '$outputKey',
  '$size',
  '$sha256',
] as const;
export type Placeholder = (typeof PLACEHOLDERS)[number];

const CALLS = {
  runpod: ['job-take', 'job-stop', 'job-done', 'job-progress', 'job-stream', 'ping'],
  server: CALLS_OF_SERVER,
  store: CALLS_OF_STORE,
  foreign: ['fetch', 'astray'],
  notice: ['stop', 'pace'],
  process: ['start', 'signal', 'exit'],
} as const;
export type Side = keyof typeof CALLS;
const CALL_NAMES = [
  ...CALLS.runpod,
  ...CALLS.server,
  ...CALLS.store,
  ...CALLS.foreign,
  ...CALLS.notice,
  ...CALLS.process,
  'unknown',
] as const;

export function isPlaceholder(value: string): value is Placeholder {
  return PLACEHOLDERS.some((known) => known === value);
}

function namesKnownThings(value: unknown): boolean {
  if (typeof value === 'string') return !value.startsWith('$') || isPlaceholder(value);
  if (typeof value !== 'object' || value === null) return true;
  return Object.values(value).every(namesKnownThings);
}
const Expected = v.pipe(v.unknown(), v.check(namesKnownThings, 'an unknown placeholder'));
const Fields = v.record(
  v.string(),
  v.pipe(
    v.string(),
    v.check((text) => namesKnownThings(text), 'an unknown placeholder'),
  ),
);

const shape = {
  side: v.optional(v.picklist(['runpod', 'server', 'store', 'foreign', 'notice', 'process'])),
  call: v.optional(v.union([v.picklist(CALL_NAMES), v.array(v.picklist(CALL_NAMES))])),
  worker: v.optional(Worker),
  via: v.optional(v.literal('socket')),
  method: v.optional(Text),
  path: v.optional(
    v.pipe(
      Text,
      v.check((text) => namesKnownThings(text.split('/')), 'an unknown placeholder'),
    ),
  ),
  query: v.optional(Fields),
  headers: v.optional(Fields),
  body: v.optional(Expected),
  exactBody: v.optional(Expected),
  minBytes: v.optional(Count),
  holds: v.optional(v.picklist(PLACEHOLDERS)),
  status: v.optional(v.union([Count, v.array(Count)])),
  answer: v.optional(Expected),
};
/** A call, or something that a process did, as far as it is described. */
const Pattern = v.strictObject({ ...shape, not: v.optional(v.strictObject(shape)) });
export type Pattern = v.InferOutput<typeof Pattern>;

/** What must be seen of the calls that fit, once everything is over. */
const Expectation = v.strictObject({
  that: Text,
  as: v.optional(Text),
  see: Pattern,
  after: v.optional(Text),
  before: v.optional(Text),
  if: v.optional(Text),
  times: v.optional(v.union([Count, v.tuple([Count, v.nullable(Count)])])),
  withinMs: v.optional(v.union([Millis, v.tuple([Millis, Millis])])),
  same: v.optional(Text),
  distinct: v.optional(Text),
  grows: v.optional(Text),
});
export type Expectation = v.InferOutput<typeof Expectation>;

const Expectations = v.pipe(
  v.array(Expectation),
  v.check((all) => {
    const names = new Set(all.flatMap(({ as }) => as ?? []));
    const isKnown = (name?: string) => name === undefined || names.has(name);
    return all.every((one) => [one.after, one.before, one.if].every(isKnown));
  }, '`after`, `before` and `if` must name the `as` of an expectation of this file'),
);

/** What the server may say unasked. */
const Notice = v.variant('type', [
  v.strictObject({ type: v.literal('stop'), code: Text }),
  v.strictObject({ type: v.literal('pace'), lease_ms: Count, next_report_ms: Count }),
]);
export type Notice = v.InferOutput<typeof Notice>;

const STATUSES = ['IN_QUEUE', 'IN_PROGRESS', 'COMPLETED', 'FAILED', 'CANCELLED'] as const;
const Step = v.variant('do', [
  v.strictObject({ do: v.literal('start'), worker: Worker }),
  v.strictObject({ do: v.literal('submit'), input: v.optional(v.record(v.string(), v.unknown())) }),
  v.strictObject({ do: v.literal('wait'), see: Pattern, withinMs: v.optional(Millis, 60_000) }),
  v.strictObject({ do: v.literal('signal'), worker: Worker, signal: v.literal('SIGTERM') }),
  v.strictObject({ do: v.literal('exit'), worker: Worker, withinMs: Millis }),
  v.strictObject({ do: v.literal('workless'), worker: Worker, withinMs: Millis }),
  v.strictObject({
    do: v.literal('status'),
    is: v.array(v.picklist(STATUSES)),
    withinMs: v.optional(Millis, 60_000),
  }),
  v.strictObject({ do: v.literal('cancel') }),
  v.strictObject({ do: v.literal('runpod'), rules: Rules }),
  v.strictObject({ do: v.literal('server'), rules: ServerRules }),
  v.strictObject({ do: v.literal('notice'), notice: Notice }),
]);
export type Step = v.InferOutput<typeof Step>;

const Case = v.strictObject({
  title: Text,
  why: Text,
  source: v.optional(v.picklist(SOURCES), 'film'),
  options: v.optional(ExportOptions, {}),
  foreign: v.optional(v.picklist(LEADS)),
  channel: v.optional(v.boolean(), false),
  parts: v.optional(v.pipe(Count, v.minValue(1))),
  leaseMs: v.optional(Millis, 45_000),
  runpodLeaseMs: v.optional(Millis, 40_000),
  pollMs: v.optional(Millis, 4000),
  steps: v.array(Step),
  expect: Expectations,
});
export type Case = v.InferOutput<typeof Case> & { readonly name: string };

const HERE = import.meta.dirname;

/**
 * Reads every case of `cases/`, in the order of their names.
 * @throws naming the file that is not of this form.
 */
export async function readCases(): Promise<Case[]> {
  const files = (await readdir(path.join(HERE, 'cases'))).filter((file) => file.endsWith('.json'));
  return await Promise.all(
    files.toSorted().map(async (file) => ({
      name: file.slice(0, -'.json'.length),
      ...(await read(path.join(HERE, 'cases', file), Case)),
    })),
  );
}

/** What must hold in every case. @throws when the file is not of this form. */
export async function readAlways(): Promise<Expectation[]> {
  return await read(path.join(HERE, 'always.json'), Expectations);
}

async function read<S extends v.GenericSchema>(file: string, schema: S) {
  const form = v.pipe(v.string(), v.parseJson(), schema);
  const result = v.safeParse(form, await readFile(file, 'utf8'));
  if (result.success) return result.output;
  const [issue] = result.issues;
  throw new Error(`${path.basename(file)}: ${v.getDotPath(issue) ?? ''}: ${issue.message}`);
}
