// The server's end of the renderer's socket. What it answers is in the hands of the fake server.
import assert from 'node:assert/strict';
import type { Server } from 'node:http';
import type { Duplex } from 'node:stream';
import {
  problem,
  RENDERER_SUBPROTOCOL,
  RendererFrame,
  type ProblemCode,
  type RendererNotice,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import {
  acceptUpgrade,
  offeredProtocols,
  refuseUpgrade,
  type AcceptedSocket,
} from './web-socket.ts';

/** What becomes of a frame: it is refused, the socket is cut, nothing is said, or it is acknowledged. */
export type FrameAnswer = ProblemCode | 'hang up' | 'swallow' | object;

/** One try to open a socket. */
interface Dialled {
  readonly at: number;
  readonly protocols: readonly string[];
  readonly stream: Duplex;
  socket?: AcceptedSocket;
}

export class FakeChannel {
  readonly dials: Dialled[] = [];
  readonly #answer: (frame: RendererFrame) => FrameAnswer;

  constructor(
    server: Server,
    answer: (frame: RendererFrame) => FrameAnswer,
    refuse: (nth: number) => number | undefined = () => undefined,
  ) {
    this.#answer = answer;
    server.on('upgrade', (request, stream: Duplex) => {
      stream.on('error', () => stream.destroy());
      const dial: Dialled = { at: Date.now(), protocols: offeredProtocols(request), stream };
      this.dials.push(dial);
      const status = refuse(this.dials.length);
      // What is left hanging is read still, so that its end is noticed.
      if (status === 0) stream.on('end', () => stream.destroy()).resume();
      if (status === 0) return;
      if (status !== undefined) refuseUpgrade(stream, status);
      else {
        const hear = (text: string) => this.#hear(dial, text);
        dial.socket = acceptUpgrade(request, stream, RENDERER_SUBPROTOCOL, hear);
      }
    });
  }

  /** How many connections are open. */
  get open(): number {
    return this.dials.filter(({ stream }) => !stream.destroyed).length;
  }

  /** Says this on every open socket: a notice, or a text as it is. */
  say(notice: RendererNotice | string): void {
    const text = typeof notice === 'string' ? notice : JSON.stringify(notice);
    for (const { socket } of this.dials) socket?.send(text);
  }

  /** The newest socket. @throws when none has opened. */
  get last(): AcceptedSocket {
    const socket = this.dials.findLast((dial) => dial.socket)?.socket;
    if (!socket) throw new Error('nobody has opened a socket');
    return socket;
  }

  /** Cuts every connection without a word. */
  cut(): void {
    for (const { stream } of this.dials) stream.destroy();
  }

  #hear({ socket }: Dialled, text: string): void {
    const said: unknown = JSON.parse(text);
    const frame = v.parse(RendererFrame, said);
    assert.deepEqual(frame, said, 'a frame has nothing that the protocol does not know');
    const answer = this.#answer(frame);
    const { seq } = frame;
    if (answer === 'swallow') return;
    if (answer === 'hang up') socket?.cut();
    else if (typeof answer === 'object')
      socket?.send(JSON.stringify({ type: 'ack', seq, ...answer }));
    else socket?.send(JSON.stringify({ type: 'refused', seq, problem: problem(answer) }));
  }
}
