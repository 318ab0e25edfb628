import * as v from 'valibot';
import type { Call } from '../../src/lib/calls.ts';
import type { Answer } from '../../src/lib/types.ts';
import type { Clock } from '../clock.ts';
import { answerIn } from '../notice.ts';
import type { Socket } from '../platform/sockets.ts';
import { Unreachable } from '../stage.ts';

// The socket of a renderer as `renderer/src/server-link.ts` and `server-socket.ts` keep it: dialled and
// dialled again; a call that is not answered ends it.

const CALL_MS = 10_000;
const DIAL = { base: 250, cap: 10_000 };
const FENCED = 4410;

const Notice = v.pipe(v.string(), v.parseJson(), v.looseObject({ type: v.string() }));
const Numbered = v.looseObject({ seq: v.number() });

/** What a link needs of its renderer. */
export interface Ends {
  readonly clock: Clock;
  readonly isOver: boolean;
  readonly isDeaf: boolean;
  dial(): Promise<Socket>;
  /** Resolves when the process goes on; null when it does. */
  readonly pause: Promise<void> | null;
  onPace(pace: object): void;
  onStop(): void;
}

interface OpenCall {
  resolve(answer: Answer): void;
  reject(error: Error): void;
}

export class Link {
  readonly #ends: Ends;
  readonly #calls = new Map<number, OpenCall>();
  #socket: Socket | null = null;
  #isClosed = false;

  constructor(ends: Ends) {
    this.#ends = ends;
    void this.#keepOpen();
  }

  get isOpen(): boolean {
    return this.#socket?.isOpen === true;
  }

  /** Makes a call. @throws Unreachable when it is not answered. */
  call(seq: number, { name, body }: Exclude<Call, { name: 'init' | 'claim' }>): Promise<Answer> {
    const socket = this.#socket;
    if (!socket?.isOpen) return Promise.reject(new Unreachable());
    return new Promise((resolve, reject) => {
      this.#calls.set(seq, { resolve, reject });
      this.#ends.clock.after(CALL_MS, () => this.#calls.has(seq) && this.#drop(socket));
      socket.send(JSON.stringify({ ...body, seq, type: name }));
    });
  }

  /** Ends all of it. @param isSudden the machine is gone: nobody tells the other side. */
  close(isSudden: boolean): void {
    this.#isClosed = true;
    if (this.#socket && isSudden) this.#socket.wire.isDeaf = true;
    if (this.#socket) this.#drop(this.#socket);
  }

  async #keepOpen(): Promise<void> {
    for (let failures = 0; !this.#isClosed; failures += 1) {
      const wasOpen = await this.#visit();
      if (wasOpen) failures = 0;
      await this.#ends.clock.sleep(Math.min(DIAL.cap, DIAL.base * 2 ** failures));
    }
  }

  /** One connection until its end; whether it came about. */
  async #visit(): Promise<boolean> {
    let socket: Socket;
    try {
      socket = await this.#ends.dial();
    } catch (error) {
      if (error instanceof Unreachable) return false;
      throw error;
    }
    this.#socket = socket;
    if (this.#isClosed) this.#drop(socket);
    await new Promise<void>((resolve) => {
      socket.listen({
        message: (text) => this.#whenAwake(() => this.#hear(text)),
        close: (code) => {
          this.#whenAwake(() => this.#finish(socket, code));
          resolve();
        },
      });
      if (!socket.isOpen) resolve();
    });
    return true;
  }

  #whenAwake(run: () => void): void {
    const { pause } = this.#ends;
    if (pause) void pause.then(run);
    else run();
  }

  /** Closes at once: a half-open one would never answer. */
  #drop(socket: Socket): void {
    socket.close(1000);
    this.#finish(socket, 1000);
  }

  #finish(socket: Socket, code: number): void {
    if (this.#socket !== socket) return;
    this.#socket = null;
    for (const call of this.#calls.values()) call.reject(new Unreachable());
    this.#calls.clear();
    if (code === FENCED) this.#ends.onStop();
  }

  #hear(text: string): void {
    if (this.#ends.isDeaf || this.#ends.isOver) return;
    const notice = v.parse(Notice, text);
    if (notice.type === 'stop') return this.#ends.onStop();
    if (notice.type === 'pace') return this.#ends.onPace(notice);
    const { seq } = v.parse(Numbered, notice);
    this.#calls.get(seq)?.resolve(answerIn(notice.type, notice));
    this.#calls.delete(seq);
  }
}
