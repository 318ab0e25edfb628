// Responsible for each call that comes in: it traces it, does to it what the script says, admits it,
// and answers. Must not know what the calls do.
import type { IncomingMessage, ServerResponse } from 'node:http';
import * as v from 'valibot';
import {
  CLIENT_CALLS,
  credentialOf,
  HttpError,
  parseBody,
  readRaw,
  type Answer,
  type Call,
  type ClientCall,
  type Credential,
  type Route,
  WORKER_CALLS,
  type WorkerCall,
} from './http.ts';
import { carryOut, Rules, type Script, type Subject } from './script.ts';
import { headersOf, type Entry, type Trace } from './trace.ts';

export interface GateSetup {
  readonly apiKey: string;
  readonly endpointId: string;
  readonly clients: Readonly<Record<ClientCall, Route>>;
  readonly workers: Readonly<Record<WorkerCall, Route>>;
  readonly script: Script;
  readonly trace: Trace;
  /** Ends the pauses of the script. */
  readonly closing: AbortSignal;
}

interface Found {
  readonly op: ClientCall | WorkerCall;
  readonly route: Route;
  readonly caller: 'client' | 'worker';
  readonly args: readonly string[];
}

const ProgressText = v.pipe(
  v.string(),
  v.parseJson(),
  v.looseObject({ status: v.literal('IN_PROGRESS') }),
);

/** The one entrance for HTTP calls. */
export class Gate {
  readonly #setup: GateSetup;
  readonly #routes: ReadonlyMap<string, Omit<Found, 'args'>>;
  readonly #controls: ReadonlyMap<string, Route>;

  constructor(setup: GateSetup) {
    this.#setup = setup;
    this.#routes = new Map<string, Omit<Found, 'args'>>([
      ...CLIENT_CALLS.map(
        (op) => [op, { op, route: setup.clients[op], caller: 'client' }] as const,
      ),
      ...WORKER_CALLS.map(
        (op) => [op, { op, route: setup.workers[op], caller: 'worker' }] as const,
      ),
    ]);
    this.#controls = new Map<string, Route>([
      ['/_script', { methods: ['POST'], args: 0, run: ({ body }) => this.#setScript(body) }],
      ['/_trace', { methods: ['GET'], args: 0, run: () => this.#showTrace() }],
    ]);
  }

  async serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = urlOf(request);
    const control = this.#controls.get(url.pathname);
    if (control) {
      await respond(request, response, { url, args: [] }, (call) =>
        this.#answer(request, control, 'client', call),
      );
      return;
    }
    const found = this.#find(url.pathname);
    const entry = this.#open(request, url, found);
    const { status, text } = await respond(
      request,
      response,
      { url, args: found?.args ?? [] },
      (call) => this.#play(request, found, entry, call),
    );
    entry.closed(status, text, Date.now());
  }

  async #play(
    request: IncomingMessage,
    found: Found | undefined,
    entry: Entry,
    call: Call,
  ): Promise<Answer | undefined> {
    const text = call.body?.toString('utf8');
    const subject = subjectOf(found, text);
    entry.heard(subject, text, call.body?.length ?? Number(request.headers['content-length'] ?? 0));
    if (!found || subject === 'unknown') return { status: 404, body: { error: 'not found' } };
    const [first, second] = call.args;
    const parties = found.caller === 'client' ? { job: first } : { worker: first, job: second };
    const fault = this.#setup.script.next(subject, parties);
    if (fault) entry.faulted(fault);
    return await carryOut(fault, this.#setup.closing, () =>
      this.#answer(request, found.route, found.caller, call),
    );
  }

  async #answer(
    { method = '', headers }: IncomingMessage,
    route: Route,
    caller: Found['caller'],
    call: Call,
  ): Promise<Answer> {
    try {
      if (!route.methods.includes(method)) throw new HttpError(405, 'wrong method');
      const credential = credentialOf(headers.authorization, this.#setup.apiKey);
      if (!admits(caller, credential)) throw new HttpError(401, 'unauthorized');
      return await route.run(call);
    } catch (error) {
      if (error instanceof HttpError) {
        return { status: error.status, body: { error: error.message } };
      }
      process.stderr.write(`runpod stand-in: ${String(error)}\n`);
      return { status: 500, body: { error: 'internal error' } };
    }
  }

  #open({ method = '', headers }: IncomingMessage, url: URL, found: Found | undefined): Entry {
    return this.#setup.trace.open({
      op: found?.op ?? 'unknown',
      method,
      path: url.pathname,
      query: Object.fromEntries(url.searchParams),
      headers: headersOf(headers, credentialOf(headers.authorization, this.#setup.apiKey)),
      at: Date.now(),
    });
  }

  #find(pathname: string): Found | undefined {
    const [, version, endpoint, name = '', ...args] = pathname.split('/').map(decode);
    if (version !== 'v2' || endpoint !== this.#setup.endpointId) return undefined;
    const known = this.#routes.get(name);
    return known?.route.args === args.length ? { ...known, args } : undefined;
  }

  #setScript(body: Call['body']): Answer {
    const rules = parseBody(body, Rules);
    this.#setup.script.set(rules);
    return { status: 200, body: { rules: rules.length } };
  }

  #showTrace(): Answer {
    return { status: 200, body: { calls: this.#setup.trace.calls() } };
  }
}

function admits(caller: Found['caller'], credential: Credential): boolean {
  // RunPod's pages show both forms to clients; its worker sends the key as it is.
  return credential === 'raw' || (caller === 'client' && credential === 'bearer');
}

function subjectOf(found: Found | undefined, body: string | undefined): Subject | 'unknown' {
  if (found?.op === 'job-done' && v.is(ProgressText, body)) return 'progress';
  return found?.op ?? 'unknown';
}

/**
 * Reads a call, has it answered, and sends the answer.
 * @returns what was sent; the status is 0 when the connection is cut instead.
 */
async function respond(
  request: IncomingMessage,
  response: ServerResponse,
  { url, args }: { readonly url: URL; readonly args: readonly string[] },
  play: (call: Call) => Promise<Answer | undefined>,
): Promise<{ status: number; text?: string }> {
  const left = new AbortController();
  response.once('close', () => left.abort());
  try {
    const body = await readRaw(request);
    const answer = await play({ args, query: url.searchParams, body, left: left.signal });
    if (answer && !left.signal.aborted) {
      return { status: answer.status, text: send(response, answer) };
    }
  } catch (error) {
    // That a caller hangs up in the middle of its body is no news.
    if (!left.signal.aborted) process.stderr.write(`runpod stand-in: ${String(error)}\n`);
  }
  response.destroy();
  return { status: 0 };
}

/** @returns what was sent. */
function send(response: ServerResponse, { status, body, headers }: Answer): string {
  const text = body === undefined ? '' : typeof body === 'string' ? body : JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', ...headers }).end(text);
  return text;
}

function urlOf(request: IncomingMessage): URL {
  return URL.parse(request.url ?? '/', 'http://stand-in') ?? new URL('http://stand-in/');
}

/** A part of a path; what cannot be decoded is nobody's name. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return '';
  }
}
