// Responsible for how the stand-in of the export server reads and answers calls.
import type { IncomingMessage, ServerResponse } from 'node:http';
import { problem, type ProblemCode } from '@export-jobs/protocol';
import { SERVER_CALLS, type ServerCall, type ServerFault } from './server-rules.ts';
import type { Seen } from './wire.ts';

/** Fields that no renderer knows: PROTOCOL.md has them ignored. */
export const FROM_LATER = { from_a_later_version: { yes: true } };

export interface Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | number>>;
  /** Bytes of a file, else JSON. */
  readonly body: unknown;
}

/** What is called by plain HTTP: all but the dial of the socket. */
export type HttpCall = Exclude<ServerCall, 'channel'>;
const HTTP_CALLS = SERVER_CALLS.filter((call): call is HttpCall => call !== 'channel');

/** Where each call goes, and how. */
const ADDRESSES: Readonly<Record<HttpCall, readonly [method: string, path: RegExp]>> = {
  claim: ['POST', /^\/api\/jobs\/a-job\/do\/claim$/],
  progress: ['POST', /^\/api\/jobs\/a-job\/do\/progress$/],
  complete: ['POST', /^\/api\/jobs\/a-job\/do\/complete$/],
  error: ['POST', /^\/api\/jobs\/a-job\/do\/error$/],
  source: ['GET', /^\/files\/\d+\/source$/],
  output: ['PUT', /^\/files\/\d+\/output$/],
  'begin-output': ['POST', /^\/files\/\d+\/output$/],
  'ask-parts': ['POST', /^\/files\/\d+\/output\/parts$/],
  'finish-output': ['POST', /^\/files\/\d+\/output\/complete$/],
  part: ['PUT', /^\/store\/\w+\/\d+$/],
};

/** Which call this is; undefined: none that there is. */
export function callOf(method: string | undefined, path: string): HttpCall | undefined {
  return HTTP_CALLS.find((call) => {
    const [verb, form] = ADDRESSES[call];
    return method === verb && form.test(path);
  });
}

/** Reads a whole body. */
export async function readAll(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) if (chunk instanceof Buffer) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** JSON, else text; undefined when there is nothing. */
export function parse(raw: Buffer): unknown {
  const text = raw.toString('utf8');
  if (text === '') return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** @returns what says yes, with these fields. */
export function ok(fields: object): Answer {
  const body = { success: true, ...fields, ...FROM_LATER };
  return { status: 200, headers: { 'content-type': 'application/json' }, body };
}

/** @returns what says no, as every refusal of the server. */
export function refusal(code: ProblemCode): Answer {
  const body = { ...problem(code), ...FROM_LATER };
  return { status: body.status, headers: { 'content-type': 'application/problem+json' }, body };
}

/** Sends an answer, or half of it when the fault says so, and writes down what was answered. */
export function send(
  response: ServerResponse,
  seen: Seen,
  { status, headers, body }: Answer,
  { drop }: ServerFault,
): void {
  seen.status = status;
  seen.answeredAt = Date.now();
  if (!Buffer.isBuffer(body)) seen.answer = body;
  response.writeHead(status, headers);
  if (drop === 'half' && Buffer.isBuffer(body)) {
    response.write(body.subarray(0, body.length / 2), () => response.destroy());
  } else {
    response.end(Buffer.isBuffer(body) || body === undefined ? body : JSON.stringify(body));
  }
}
