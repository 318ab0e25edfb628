// Responsible for calls to the server by POST: one request each, and what its answer means.
import {
  ClaimReply,
  ReportReply,
  type ClaimBody,
  type RendererFrame,
  type RenderTicket,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { refusalOf, Unreachable } from './server-reply.ts';

/** How the server says yes to a call after the claim; what it leaves out stays as it was. */
export type Answer = Pick<ReportReply, 'lease_ms' | 'next_report_ms'>;

/** A way on which the calls after the claim can be made. */
export interface Transport {
  /** @throws Fenced, Refused, Unreachable, or the signal's reason. */
  call(frame: RendererFrame, signal: AbortSignal): Promise<Answer>;
}

/** The calls of one ticket by POST. */
export class ServerCalls implements Transport {
  readonly #ticket: RenderTicket;
  readonly #callMs: number;

  /** @param callMs how long a call may stay unanswered. */
  constructor(ticket: RenderTicket, callMs: number) {
    this.#ticket = ticket;
    this.#callMs = callMs;
  }

  /** @throws Fenced, Refused, Unreachable, or the signal's reason. */
  async claim(body: ClaimBody, signal: AbortSignal): Promise<ClaimReply> {
    return await this.#post('claim', body, ClaimReply, signal);
  }

  async call({ type, ...body }: RendererFrame, signal: AbortSignal): Promise<Answer> {
    return await this.#post(type, body, ReportReply, signal);
  }

  async #post<T>(
    name: string,
    body: object,
    reply: v.GenericSchema<unknown, T>,
    signal: AbortSignal,
  ): Promise<T> {
    const { status, text } = await this.#send(name, body, signal);
    if (status !== 200) throw refusalOf(status, text);
    try {
      return v.parse(reply, JSON.parse(text));
    } catch (error) {
      throw new Unreachable('the server gave an answer that makes no sense', { cause: error });
    }
  }

  async #send(name: string, body: object, signal: AbortSignal) {
    const { callback_url, token } = this.#ticket;
    try {
      const response = await fetch(`${callback_url.replace(/\/$/, '')}/${name}`, {
        method: 'POST',
        redirect: 'error',
        headers: { 'content-type': 'application/json', authorization: `Bearer ${token}` },
        body: JSON.stringify(body),
        signal: AbortSignal.any([signal, AbortSignal.timeout(this.#callMs)]),
      });
      return { status: response.status, text: await response.text() };
    } catch (error) {
      signal.throwIfAborted();
      throw new Unreachable('the server could not be reached', { cause: error });
    }
  }
}
