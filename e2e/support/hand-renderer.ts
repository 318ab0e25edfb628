// A renderer whose every call a test makes itself: it takes its ticket from RunPod's stand-in and speaks
// for its attempt like the real one, but encodes nothing.
import { once } from 'node:events';
import {
  BEARER_SUBPROTOCOL,
  ClaimReply,
  RENDERER_SUBPROTOCOL,
  RenderTicket,
  RendererNotice,
  type ErrorBody,
  type ProgressBody,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { Api } from '../../renderer/src/runpod/api.ts';
import { readWorkerEnv } from '../../renderer/src/runpod/env.ts';
import type { Stack } from '../../scripts/stack.ts';
import { post } from './http.ts';
import { PATIENCE_MS, until } from './processes.ts';

const Taken = v.pipe(v.string(), v.parseJson(), v.object({ id: v.string(), input: RenderTicket }));
const Notice = v.pipe(v.string(), v.parseJson(), RendererNotice);

export class HandRenderer {
  readonly ticket: RenderTicket;
  readonly #claim: ClaimReply;
  readonly #heard: RendererNotice[] = [];
  #socket: WebSocket | null = null;
  #seq = 0;

  private constructor(ticket: RenderTicket, claim: ClaimReply) {
    this.ticket = ticket;
    this.#claim = claim;
  }

  /** Takes the job that waits for longest, as soon as there is one, and claims its attempt. */
  static async takes({ standIn }: Pick<Stack, 'standIn'>): Promise<HandRenderer> {
    const api = new Api(readWorkerEnv(standIn.workerEnv('by-hand')));
    const { text } = await api.take(1, false, AbortSignal.timeout(PATIENCE_MS));
    const { id, input } = v.parse(Taken, text);
    const body = { nonce: crypto.randomUUID(), provider_job_id: id, worker_id: 'by-hand' };
    return new HandRenderer(
      input,
      await post(`${input.callback_url}/claim`, body, ClaimReply, input.token),
    );
  }

  /** Where it stores its file. */
  get output(): ClaimReply['output'] {
    return this.#claim.output;
  }

  /** Opens its socket; from then on it reports there. */
  async connect(): Promise<void> {
    const { channel } = this.#claim;
    if (!channel) throw new Error('the claim offers no socket');
    const protocols = [RENDERER_SUBPROTOCOL, BEARER_SUBPROTOCOL + this.ticket.token];
    this.#socket = new WebSocket(new URL(channel.url, this.ticket.callback_url), protocols);
    this.#socket.addEventListener('message', ({ data }) => this.#heard.push(v.parse(Notice, data)));
    await once(this.#socket, 'open');
  }

  /** Resolves when the report is acknowledged. */
  async report(progress: number, more: Omit<ProgressBody, 'progress'> = {}): Promise<void> {
    await this.#say('progress', { progress, ...more });
  }

  async fail(body: ErrorBody): Promise<void> {
    await this.#say('error', body);
  }

  /** Says a text on its socket, such as a ping. */
  send(text: string): void {
    this.#socket?.send(text);
  }

  close(): void {
    this.#socket?.close();
  }

  async #say(type: 'progress' | 'error', body: object): Promise<void> {
    const seq = (this.#seq += 1);
    const call = { epoch: this.#claim.epoch, seq, ...body };
    if (!this.#socket) {
      await post(`${this.ticket.callback_url}/${type}`, call, v.unknown(), this.ticket.token);
      return;
    }
    this.send(JSON.stringify({ type, ...call }));
    await until(`the answer to ${type} ${seq}`, () =>
      this.#heard.some((notice) => notice.type === 'ack' && notice.seq === seq),
    );
  }
}
