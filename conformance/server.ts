// Responsible for the server's part towards a renderer, as PROTOCOL.md tells it: claim, source,
// reports, output, end, and the epoch that fences. Must not judge what it hears.
import { createHash, randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  ClaimBody,
  CompleteBody,
  ErrorBody,
  ProgressBody,
  type ClaimReply,
  type RenderTicket,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import type { ForeignServer } from './foreign.ts';
import type { Notice } from './format.ts';
import { outputKey } from './match.ts';
import { ServerChannel } from './server-channel.ts';
import {
  callOf,
  FROM_LATER,
  ok,
  parse,
  readAll,
  refusal,
  send,
  type Answer,
  type HttpCall,
} from './server-http.ts';
import { OutputStore, type Stored } from './server-output.ts';
import { ServerScript, type ServerFault } from './server-rules.ts';
import type { Seen, Wire } from './wire.ts';

/** Not 1, so that nobody passes who makes epochs up. */
const FIRST_EPOCH = 7;
const REPORT_MS = 200;

const Epoch = v.looseObject({ epoch: v.number() });
const BODIES = {
  claim: ClaimBody,
  progress: ProgressBody,
  complete: CompleteBody,
  error: ErrorBody,
};

export interface ServerSetup {
  readonly source: Buffer;
  readonly options: ClaimReply['options'];
  readonly leaseMs: number;
  /** Whether the claim's answer offers a socket. */
  readonly channel: boolean;
  /** Larger outputs are to come by parts of so many bytes; undefined: all in one piece. */
  readonly partSize: number | undefined;
  /** Where the source is, if that is not here. */
  readonly foreign: ForeignServer['source'] | undefined;
  readonly wire: Wire;
}

/** One job of one attempt, as its renderers see it. */
export class ExportServer {
  readonly script = new ServerScript();
  readonly token = `ej1.k1.${randomBytes(24).toString('hex')}`;
  readonly #output = new OutputStore();
  readonly #setup: ServerSetup;
  readonly #etag: string;
  readonly #http = createServer((request, response) => {
    this.#serve(request, response).catch(() => response.destroy());
  });
  readonly #channel: ServerChannel;
  readonly #closing = new AbortController();
  readonly #nonces: string[] = [];
  #ended: { readonly call: HttpCall; readonly epoch: number } | undefined;
  #url = '';

  private constructor(setup: ServerSetup) {
    this.#setup = setup;
    this.#etag = createHash('md5').update(setup.source).digest('hex');
    this.#channel = new ServerChannel({
      token: this.token,
      wire: setup.wire,
      script: this.script,
      closing: this.#closing.signal,
      answer: (call, seen, fault) => this.#answer(seen, fault, () => this.#hear(call, seen)),
    });
    this.#http.on('upgrade', (request, stream: Duplex) => {
      this.#channel.dialled(request, stream).catch(() => stream.destroy());
    });
  }

  static async open(setup: ServerSetup): Promise<ExportServer> {
    const server = new ExportServer(setup);
    server.#http.listen(0, '127.0.0.1');
    await once(server.#http, 'listening');
    const address = server.#http.address();
    server.#url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
    return server;
  }

  get ticket(): RenderTicket {
    const callback_url = `${this.#url}/api/jobs/a-job/do`;
    const ticket = { v: 1, job_id: 'a-job', attempt: 1, callback_url, token: this.token } as const;
    return { ...ticket, ...FROM_LATER };
  }

  /** The file that was stored last. */
  get stored(): Stored | undefined {
    return this.#output.stored;
  }

  /** Says this on every open socket. */
  say(notice: Notice): void {
    this.#channel.say(notice);
  }

  async close(): Promise<void> {
    this.#closing.abort();
    this.#channel.close();
    this.#http.closeAllConnections();
    await new Promise((resolve) => this.#http.close(resolve));
  }

  get #epoch(): number {
    return FIRST_EPOCH + this.#nonces.length - 1;
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.#url);
    const call = callOf(request.method, pathname);
    const seen = this.#setup.wire.add({
      side: call === 'part' ? 'store' : 'server',
      call: call ?? 'unknown',
      method: request.method ?? '',
      path: pathname,
      query: Object.fromEntries(searchParams),
      headers: this.#headersOf(request),
    });
    // Its caller may leave before it is answered.
    response.once('close', () => (seen.status ??= 0));
    const raw = await readAll(request);
    seen.bytes = raw.length;
    if (call !== 'output' && call !== 'part') seen.body = parse(raw);
    const fault = call ? this.script.next(call) : {};
    await sleep(fault.delayMs ?? 0, undefined, { signal: this.#closing.signal });
    if (response.closed) return;
    const answer = call
      ? this.#answer(seen, fault, () => this.#carryOut(call, seen, raw))
      : refusal('not_found');
    if (!answer) response.destroy();
    else send(response, seen, answer, fault);
  }

  /** @returns undefined when the connection is cut instead. */
  #answer(seen: Seen, fault: ServerFault, carryOut: () => Answer): Answer | undefined {
    if (fault.problem) return refusal(fault.problem);
    if (fault.status) return { status: fault.status, headers: {}, body: undefined };
    if (fault.drop === 'call') return undefined;
    // The store knows no token: its addresses are proof enough.
    const isKnown = seen.headers['authorization'] === (seen.side === 'store' ? 'none' : 'ticket');
    const answer = isKnown ? carryOut() : refusal('unauthorized');
    return fault.drop === 'answer' ? undefined : answer;
  }

  #carryOut(call: HttpCall, seen: Seen, raw: Buffer): Answer {
    if (call === 'source') return this.#sendSource(seen);
    const epoch = Number(seen.path.split('/')[2]);
    if (call === 'output') return this.#output.put(epoch, seen.headers, raw);
    if (call === 'part') return this.#output.part(seen.path, seen.headers, raw);
    if (seen.headers['content-type']?.split(';')[0] !== 'application/json') {
      return refusal('unsupported_media_type');
    }
    if (call === 'begin-output' || call === 'ask-parts' || call === 'finish-output') {
      return epoch === this.#epoch ? this.#byParts(call, epoch, seen) : refusal('not_owner');
    }
    if (!v.is(BODIES[call], seen.body)) return refusal('invalid_body');
    return call === 'claim' ? this.#claim(v.parse(ClaimBody, seen.body)) : this.#hear(call, seen);
  }

  #claim({ nonce }: ClaimBody): Answer {
    if (this.#ended) return refusal('job_finished');
    if (!this.#nonces.includes(nonce)) this.#nonces.push(nonce);
    const epoch = FIRST_EPOCH + this.#nonces.indexOf(nonce);
    if (epoch < this.#epoch) return refusal('not_owner');
    this.#setup.wire.gave(epoch);
    const { source, options, channel, partSize, foreign } = this.#setup;
    return ok({
      epoch,
      ...this.#pace(),
      options,
      source: {
        url: `${this.#url}/files/${epoch}/source`,
        size: source.length,
        etag: this.#etag,
        filename: 'a "film" é.mp4',
        ...foreign,
      },
      output: {
        url: `${this.#url}/files/${epoch}/output`,
        key: outputKey(epoch),
        content_type: `video/${options.container}`,
        ...(partSize === undefined ? {} : { parts: { size: partSize, ...FROM_LATER } }),
      },
      ...(channel ? { channel: { url: ServerChannel.urlAt(this.#url), ...FROM_LATER } } : {}),
    });
  }

  /** A report or an end: fenced by its epoch, and answered again as the first time. */
  #hear(call: HttpCall, { body }: Seen): Answer {
    const epoch = v.is(Epoch, body) ? body.epoch : 0;
    if (this.#ended) {
      const isRepeat = this.#ended.call === call && this.#ended.epoch === epoch;
      return isRepeat ? ok({ retrying: false }) : refusal('job_finished');
    }
    if (epoch !== this.#epoch) return refusal('not_owner');
    if (call === 'progress') return ok(this.#pace());
    if (call === 'complete' && !this.#isStored(body, epoch)) return refusal('output_rejected');
    this.#ended = { call, epoch };
    return ok({ retrying: false });
  }

  #isStored(body: unknown, epoch: number): boolean {
    const said = v.parse(CompleteBody, body);
    const { stored } = this;
    return (
      stored?.epoch === epoch &&
      said.output_video_key === outputKey(epoch) &&
      said.manifest?.size === stored.size &&
      said.manifest.sha256 === stored.sha256
    );
  }

  #pace() {
    return { lease_ms: this.#setup.leaseMs, next_report_ms: REPORT_MS };
  }

  #sendSource({ headers }: Seen): Answer {
    const { source } = this.#setup;
    const etag = `"${this.#etag}"`;
    if (headers['if-match'] !== etag) return refusal('source_changed');
    const from = Number(/^bytes=(\d+)-$/.exec(headers['range'] ?? '')?.[1] ?? 0);
    const body = source.subarray(from);
    const range = { 'content-range': `bytes ${from}-${source.length - 1}/${source.length}` };
    const common = { etag, 'content-length': body.length, 'content-type': 'video/mp4' };
    return headers['range']
      ? { status: 206, headers: { ...common, ...range }, body }
      : { status: 200, headers: common, body };
  }

  #byParts(
    call: 'begin-output' | 'ask-parts' | 'finish-output',
    epoch: number,
    { body }: Seen,
  ): Answer {
    if (call === 'begin-output') return this.#output.begin(epoch, body);
    if (call === 'finish-output') return this.#output.finish(epoch, body);
    return this.#output.addresses(epoch, body, `${this.#url}/store`);
  }

  #headersOf({ headers }: IncomingMessage): Record<string, string> {
    const shown: Record<string, string> = {};
    for (const [name, value] of Object.entries(headers)) shown[name] = String(value);
    const given = headers.authorization;
    const kind = given === `Bearer ${this.token}` ? 'ticket' : given ? 'wrong' : 'none';
    return { ...shown, authorization: kind };
  }
}
