// Responsible for telling webhooks how jobs ended.
import { pause } from '../pause.ts';
import type { Answer } from './http.ts';
import type { StatusView } from './job.ts';
import { carryOut, type Script } from './script.ts';
import type { Trace } from './trace.ts';

const TRIES = 3;
const TIMEOUT_MS = 10_000;

/** Sends webhooks as RunPod documents it: only 200 counts as heard; else two more tries. */
export class Webhooks {
  readonly #retryMs: number;
  readonly #script: Script;
  readonly #trace: Trace;
  readonly #closing: AbortSignal;

  /** @param retryMs the pause between tries. */
  constructor(retryMs: number, script: Script, trace: Trace, closing: AbortSignal) {
    this.#retryMs = retryMs;
    this.#script = script;
    this.#trace = trace;
    this.#closing = closing;
  }

  async send(url: string, view: StatusView): Promise<void> {
    for (let tries = 0; tries < TRIES && !this.#closing.aborted; tries += 1) {
      if (tries > 0) await pause(this.#retryMs, this.#closing);
      if ((await this.#try(url, view)) === 200) return;
    }
  }

  /** One try, as the script has it. @returns the status, 0 without an answer. */
  async #try(url: string, view: StatusView): Promise<number> {
    const { pathname, searchParams } = new URL(url);
    const body = JSON.stringify(view);
    const headers = { 'content-type': 'application/json' };
    const query = Object.fromEntries(searchParams);
    const entry = this.#trace.open({
      op: 'webhook',
      method: 'POST',
      path: pathname,
      query,
      headers,
      at: Date.now(),
    });
    entry.heard('webhook', body, Buffer.byteLength(body));
    const fault = this.#script.next('webhook', { worker: view.workerId, job: view.id });
    if (fault) entry.faulted(fault);
    const answer = await carryOut(fault, this.#closing, () => this.#post(url, headers, body));
    const status = answer?.status ?? 0;
    entry.closed(status, undefined, Date.now());
    return status;
  }

  async #post(url: string, headers: Record<string, string>, body: string): Promise<Answer> {
    try {
      const signal = AbortSignal.any([this.#closing, AbortSignal.timeout(TIMEOUT_MS)]);
      const init = { method: 'POST', headers, body, signal, redirect: 'manual' } as const;
      const response = await fetch(url, init);
      await response.body?.cancel();
      return { status: response.status };
    } catch (error) {
      if (!this.#closing.aborted) {
        process.stderr.write(`runpod stand-in: webhook: ${String(error)}\n`);
      }
      return { status: 0 };
    }
  }
}
