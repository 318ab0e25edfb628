// Responsible for the bytes of one request.
import { pathOf, type Call, type Scene } from './calls.ts';
import type { Expect, Input } from './input.ts';

/** A request before it is bytes. Headers may repeat; their values go out as they are. */
export interface Draft {
  readonly method: string;
  readonly target: string;
  readonly headers: readonly (readonly [string, string])[];
  readonly body: string | Buffer | null;
}

/** The draft of a right call. */
export function draftOf(call: Call, { world, address }: Scene): Draft {
  const { bearer, body, method } = call;
  const headers = {
    host: `localhost:${world.port}`,
    'cf-connecting-ip': address,
    ...(bearer !== null && { authorization: `Bearer ${bearer}` }),
    ...(body && { 'content-type': 'application/json' }),
    ...call.headers,
  };
  const text = body
    ? JSON.stringify(body.value)
    : method === 'POST' || method === 'PUT'
      ? ''
      : null;
  return { method, target: pathOf(call), headers: Object.entries(headers), body: text };
}

/** The same with other headers: null takes one away. */
export function withHeaders(draft: Draft, more: Record<string, string | null>): Draft {
  const kept = draft.headers.filter(([name]) => !(name in more));
  const added = Object.entries(more).flatMap(([name, value]): [string, string][] =>
    value === null ? [] : [[name, value]],
  );
  return { ...draft, headers: [...kept, ...added] };
}

/** The bytes, with a true Content-Length unless the draft names one or is chunked. */
export function bytesOf({ method, target, headers, body }: Draft): Buffer {
  const names = headers.map(([name]) => name.toLowerCase());
  const isFramed = names.includes('content-length') || names.includes('transfer-encoding');
  const bytes = body === null ? Buffer.alloc(0) : Buffer.from(body);
  const length = isFramed || body === null ? [] : [`content-length: ${bytes.length}`];
  const lines = [...headers.map(([name, value]) => `${name}: ${value}`), ...length];
  const head = [`${method} ${target} HTTP/1.1`, ...lines, '', ''].join('\r\n');
  return Buffer.concat([Buffer.from(head, 'latin1'), bytes]);
}

/** An input that is one whole request. */
export function requestInput(kind: string, what: string, draft: Draft, expect: Expect): Input {
  return {
    kind,
    what: `${draft.method} ${short(draft.target)}: ${what}`,
    pieces: [bytesOf(draft)],
    frames: [],
    expect,
  };
}

/** At most 120 characters of something. */
export function short(text: string): string {
  return text.length > 120 ? `${text.slice(0, 117)}…` : text;
}
