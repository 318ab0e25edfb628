// Responsible for the words that the parts of the stand-in share about a call: what came in, what
// goes out, and which route takes it.
import { createHash, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import * as v from 'valibot';

const MB = 1024 * 1024;
/** What RunPod takes in one body: of `/run`, and of `/runsync`. */
export const RUN_BYTES = 10 * MB;
export const SYNC_BYTES = 20 * MB;
/** How much of a body that is too large is still read, so that the caller hears why. */
const DRAIN_BYTES = 100 * MB;

/** Every call that the stand-in knows, by the name in its path. */
export const CLIENT_CALLS = [
  'run',
  'runsync',
  'status',
  'status-sync',
  'stream',
  'cancel',
  'retry',
  'purge-queue',
  'health',
] as const;
export const WORKER_CALLS = [
  'job-take',
  'job-take-batch',
  'job-stop',
  'job-done',
  'job-stream',
  'ping',
] as const;
export type ClientCall = (typeof CLIENT_CALLS)[number];
export type WorkerCall = (typeof WORKER_CALLS)[number];

export interface Call {
  /** What follows the name in the path: of clients the job, of workers the worker and the job. */
  readonly args: readonly string[];
  readonly query: URLSearchParams;
  /** Undefined when it was larger than anything that is taken. */
  readonly body: Buffer | undefined;
  /** Aborts when the caller hangs up. */
  readonly left: AbortSignal;
}

export interface Answer {
  readonly status: number;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface Route {
  readonly methods: readonly string[];
  /** How many parts of the path follow the name. */
  readonly args: number;
  readonly run: (call: Call) => Promise<Answer> | Answer;
}

/** A refusal to be sent as it is. */
export class HttpError extends Error {
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

/** How a call proves who it is: clients send `Bearer <key>` or the bare key, workers the bare key. */
export type Credential = 'bearer' | 'raw' | 'none' | 'wrong';

export function credentialOf(authorization: string | undefined, apiKey: string): Credential {
  if (authorization === undefined) return 'none';
  if (sameText(authorization, `Bearer ${apiKey}`)) return 'bearer';
  return sameText(authorization, apiKey) ? 'raw' : 'wrong';
}

function sameText(a: string, b: string): boolean {
  const digest = (text: string) => createHash('sha256').update(text).digest();
  return timingSafeEqual(digest(a), digest(b));
}

/** Reads a whole body; undefined when it is larger than 20 MB. @throws when there is no end to it. */
export async function readRaw(request: IncomingMessage): Promise<Buffer | undefined> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request) {
    if (!(chunk instanceof Buffer)) continue;
    size += chunk.length;
    if (size > DRAIN_BYTES) throw new Error('a body was far too large');
    if (size <= SYNC_BYTES) chunks.push(chunk);
  }
  return size <= SYNC_BYTES ? Buffer.concat(chunks) : undefined;
}

/** @throws HttpError 400 when the body is too large, not JSON, or not what the schema wants. */
export function parseBody<S extends v.GenericSchema>(
  body: Buffer | undefined,
  schema: S,
  maxBytes = RUN_BYTES,
): v.InferOutput<S> {
  if (!body || body.length > maxBytes) {
    throw new HttpError(400, `the body is larger than ${maxBytes} bytes`);
  }
  let json: unknown;
  try {
    json = JSON.parse(body.toString('utf8'));
  } catch {
    throw new HttpError(400, 'the body is not valid JSON');
  }
  return parsed(schema, json, 'body');
}

/**
 * A whole number of a call's query.
 * @throws HttpError 400 when it is there and is none, or is out of bounds.
 */
export function readNumber<D>(
  { query }: Call,
  name: string,
  [min, max]: readonly [number, number],
  fallback: D,
): number | D {
  const text = query.get(name);
  if (text === null) return fallback;
  const schema = v.pipe(v.string(), v.digits(), v.toNumber(), v.minValue(min), v.maxValue(max));
  return parsed(schema, text, name);
}

function parsed<S extends v.GenericSchema>(
  schema: S,
  value: unknown,
  what: string,
): v.InferOutput<S> {
  const result = v.safeParse(schema, value);
  if (result.success) return result.output;
  const issue = result.issues[0];
  throw new HttpError(400, `${v.getDotPath(issue) ?? what}: ${issue.message}`);
}
