// Responsible for the renderer's socket as PROTOCOL.md tells it: its dial, the calls on it, and what is
// said unasked. Must not decide what a call is answered.
import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';
import {
  BEARER_SUBPROTOCOL,
  PING,
  PONG,
  problem,
  RENDERER_SUBPROTOCOL,
  RendererFrame,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import {
  acceptUpgrade,
  offeredProtocols,
  refuseUpgrade,
  type AcceptedSocket,
} from '../renderer/test/web-socket.ts';
import type { Notice } from './format.ts';
import { FROM_LATER, parse, refusal, type Answer } from './server-http.ts';
import type { ServerFault, ServerScript } from './server-rules.ts';
import type { Seen, Wire } from './wire.ts';

const PATH = '/api/jobs/a-job/renderer';
const FRAMES = ['progress', 'complete', 'error'] as const;
const Frame = v.looseObject({ type: v.unknown() });
const Numbered = v.looseObject({ seq: v.number() });

export interface ChannelSetup {
  readonly token: string;
  readonly wire: Wire;
  readonly script: ServerScript;
  readonly closing: AbortSignal;
  /** What a call is answered; undefined when the socket is cut instead. */
  readonly answer: (
    call: RendererFrame['type'],
    seen: Seen,
    fault: ServerFault,
  ) => Answer | undefined;
}

export class ServerChannel {
  readonly #setup: ChannelSetup;
  readonly #sockets = new Set<AcceptedSocket>();

  constructor(setup: ChannelSetup) {
    this.#setup = setup;
  }

  /** Where it is dialled, at a server of this address. */
  static urlAt(serverUrl: string): string {
    return `${serverUrl.replace(/^http/, 'ws')}${PATH}`;
  }

  /** Answers a dial. */
  async dialled(request: IncomingMessage, stream: Duplex): Promise<void> {
    stream.on('error', () => stream.destroy());
    const { wire, script, closing } = this.#setup;
    const { pathname, searchParams } = new URL(request.url ?? '/', 'ws://server');
    const seen = wire.add({
      side: 'server',
      call: pathname === PATH ? 'channel' : 'unknown',
      method: request.method ?? '',
      path: pathname,
      query: Object.fromEntries(searchParams),
      headers: { authorization: this.#credentialOf(offeredProtocols(request)) },
    });
    stream.once('close', () => (seen.status ??= 0));
    const fault = script.next('channel');
    await sleep(fault.delayMs ?? 0, undefined, { signal: closing });
    if (stream.destroyed) return;
    const status = statusOf(seen, fault);
    if (status === undefined) stream.destroy();
    else this.#answerDial(request, stream, seen, status);
  }

  /** Says this on every open socket. */
  say(notice: Notice): void {
    if (this.#sockets.size > 0) this.#setup.wire.told(notice.type, notice);
    for (const socket of this.#sockets) socket.send(JSON.stringify({ ...notice, ...FROM_LATER }));
  }

  close(): void {
    for (const socket of this.#sockets) socket.cut();
  }

  #credentialOf(offered: readonly string[]): string {
    const tokens = offered.filter((name) => name.startsWith(BEARER_SUBPROTOCOL));
    if (!offered.includes(RENDERER_SUBPROTOCOL) || tokens.length === 0) return 'none';
    return tokens.includes(`${BEARER_SUBPROTOCOL}${this.#setup.token}`) ? 'ticket' : 'wrong';
  }

  #answerDial(request: IncomingMessage, stream: Duplex, seen: Seen, status: number): void {
    seen.status = status;
    seen.answeredAt = Date.now();
    if (status !== 101) {
      refuseUpgrade(stream, status);
      return;
    }
    const socket = acceptUpgrade(request, stream, RENDERER_SUBPROTOCOL, (text) => {
      this.#hear(socket, text).catch(() => socket.cut());
    });
    this.#sockets.add(socket);
    void socket.closed.then(() => this.#sockets.delete(socket));
  }

  async #hear(socket: AcceptedSocket, text: string): Promise<void> {
    if (text === PING) return socket.send(PONG);
    const said = parse(Buffer.from(text));
    const { type, ...body } = v.is(Frame, said) ? said : { type: undefined };
    const call = FRAMES.find((known) => known === type);
    const { wire, script, closing } = this.#setup;
    const headers = { authorization: 'ticket' };
    const where = { via: 'socket', method: '', path: PATH, query: {}, headers } as const;
    const seen = wire.add({ side: 'server', call: call ?? 'unknown', ...where });
    seen.bytes = Buffer.byteLength(text);
    seen.body = body;
    void socket.closed.then(() => (seen.status ??= 0));
    if (!call) return;
    const fault = script.next(call);
    await sleep(fault.delayMs ?? 0, undefined, { signal: closing });
    const answer = v.is(RendererFrame, said)
      ? this.#setup.answer(call, seen, fault)
      : refusal('invalid_body');
    if (!answer || !this.#sockets.has(socket)) socket.cut();
    else reply(socket, seen, answer);
  }
}

/** What a dial is answered; undefined when it is cut. */
function statusOf({ call, headers }: Seen, fault: ServerFault): number | undefined {
  if (fault.drop) return undefined;
  if (fault.problem) return problem(fault.problem).status;
  if (fault.status) return fault.status;
  if (call === 'unknown') return 404;
  return headers['authorization'] === 'ticket' ? 101 : 401;
}

/** The words of the same call by POST; a refusal without any gets some. */
function reply(socket: AcceptedSocket, seen: Seen, { status, body }: Answer): void {
  seen.status = status;
  seen.answeredAt = Date.now();
  seen.answer = body;
  const { seq } = v.is(Numbered, seen.body) ? seen.body : { seq: 0 };
  const words = typeof body === 'object' ? body : { ...problem('internal_error'), status };
  const notice =
    status === 200 ? { ...words, type: 'ack', seq } : { type: 'refused', seq, problem: words };
  socket.send(JSON.stringify({ ...notice, ...FROM_LATER }));
}
