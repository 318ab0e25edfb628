// Responsible for remembering which calls were made, in the order in which they came. What it holds
// has the inputs of jobs in it, and with them their tokens.
import type { IncomingHttpHeaders } from 'node:http';
import type { Credential } from './http.ts';
import type { Fault, Subject } from './script.ts';

const MAX_CALLS = 2000;
/** Bodies above this are left out of the trace. */
const MAX_BODY_BYTES = 64 * 1024;

/** One call as it was on the wire. Times in epoch ms. */
export interface TracedCall {
  /** Counts the calls from 1, also those that the trace has forgotten. */
  readonly seq: number;
  /** What it was by its path (`unknown`: nothing that there is), or `progress`, or `webhook`. */
  readonly op: Subject | 'unknown';
  readonly method: string;
  /** Without the query. */
  readonly path: string;
  readonly query: Readonly<Record<string, string>>;
  /** With names in lower case; of `authorization` only its kind. */
  readonly headers: Readonly<Record<string, string>>;
  /** Parsed JSON, else text; not there when it was empty or above 64 KiB. */
  readonly body?: unknown;
  /** Size of the body. */
  readonly bytes: number;
  readonly at: number;
  /** The answer. 0: there was none, by whosever fault. Not there: the call is still open. */
  readonly status?: number;
  /** What was answered, as `body`. */
  readonly answer?: unknown;
  readonly answeredAt?: number;
  /** What the script did to it. */
  readonly fault?: Fault;
}

type Opened = Pick<TracedCall, 'op' | 'method' | 'path' | 'query' | 'headers' | 'at'>;
type Writable<T> = { -readonly [K in keyof T]: T[K] };

/** The newest 2000 calls. */
export class Trace {
  readonly #calls: Entry[] = [];
  readonly #onCall: ((call: TracedCall) => void) | undefined;
  #seq = 0;

  /** @param onCall hears of each call once it is over. */
  constructor(onCall: ((call: TracedCall) => void) | undefined) {
    this.#onCall = onCall;
  }

  open(opened: Opened): Entry {
    this.#seq += 1;
    const entry = new Entry({ seq: this.#seq, bytes: 0, ...opened }, this.#onCall);
    this.#calls.push(entry);
    if (this.#calls.length > MAX_CALLS) this.#calls.shift();
    return entry;
  }

  /** What was heard so far, oldest first. */
  calls(): TracedCall[] {
    return this.#calls.map((entry) => entry.snapshot());
  }
}

/** A call that is being traced. */
export class Entry {
  readonly #call: Writable<TracedCall>;
  readonly #onCall: ((call: TracedCall) => void) | undefined;

  constructor(call: TracedCall, onCall: ((call: TracedCall) => void) | undefined) {
    this.#call = call;
    this.#onCall = onCall;
  }

  snapshot(): TracedCall {
    return { ...this.#call };
  }

  heard(op: TracedCall['op'], body: string | undefined, bytes: number): void {
    this.#call.op = op;
    this.#call.bytes = bytes;
    const shown = short(body);
    if (shown !== undefined) this.#call.body = shown;
  }

  faulted(fault: Fault): void {
    this.#call.fault = fault;
  }

  /** @param status 0 when there was no answer. */
  closed(status: number, answer: string | undefined, at: number): void {
    this.#call.status = status;
    this.#call.answeredAt = at;
    const shown = short(answer);
    if (shown !== undefined) this.#call.answer = shown;
    this.#onCall?.(this.snapshot());
  }
}

function short(text: string | undefined): unknown {
  if (!text || text.length > MAX_BODY_BYTES) return undefined;
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

/** Headers as the trace shows them. */
export function headersOf(
  headers: IncomingHttpHeaders,
  credential: Credential,
): Record<string, string> {
  const shown: Record<string, string> = {};
  for (const [name, value] of Object.entries(headers)) {
    if (value !== undefined) shown[name] = String(value);
  }
  return { ...shown, authorization: credential };
}
