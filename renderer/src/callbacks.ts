// Responsible for the renderer's side of the conversation with the server: claim, reports, the end,
// and the lease. Must not hold up the work: a report waits for nobody.
import {
  ClaimReply,
  ErrorReply,
  ReportReply,
  type ClaimBody,
  type CompleteBody,
  type ErrorBody,
  type ProgressBody,
  type RenderTicket,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { backoff, pause } from './runpod/pause.ts';
import type { Log } from './runpod/log.ts';
import { redact } from './redact.ts';
import { Fenced, refusalOf, Unreachable } from './server-reply.ts';

const CALL_TIMEOUT_MS = 10_000;
/** How long a claim is tried before the job is given back to the platform, ms. */
const CLAIM_PATIENCE_MS = 60_000;
/** The fastest that reports are sent, whatever the server asks for, ms. */
const MIN_REPORT_MS = 50;

/** Nobody has acknowledged anything for so long that somebody else may own the job by now. */
export class LeaseLost extends Error {
  constructor() {
    super('the server could not be reached for longer than the lease');
  }
}

/** What a viewer is told; the newest one is sent, older ones that had no turn are dropped. */
export type Report = Required<Pick<ProgressBody, 'progress' | 'stage'>> &
  Pick<ProgressBody, 'message' | 'fps' | 'speed' | 'eta_ms'>;

/** Pauses between tries, ms. */
export interface Patience {
  readonly baseMs: number;
  readonly capMs: number;
}
const PATIENCE: Patience = { baseMs: 500, capMs: 8000 };

/**
 * Claims the job of a ticket.
 * @throws Fenced when it is somebody else's or over, Refused when the ticket is not accepted,
 *   Unreachable when nobody answered for a minute, or the signal's reason.
 */
export async function claimJob(
  ticket: RenderTicket,
  body: ClaimBody,
  signal: AbortSignal,
  patience = PATIENCE,
): Promise<ClaimReply> {
  const giveUpAt = Date.now() + CLAIM_PATIENCE_MS;
  const isLate = () => Date.now() > giveUpAt;
  return await insist(
    () => call(ticket, 'claim', body, ClaimReply, signal),
    isLate,
    signal,
    patience,
  );
}

/** The conversation about one claimed job. */
export class Channel {
  readonly #ticket: RenderTicket;
  readonly #epoch: number;
  readonly #log: Log;
  readonly #patience: Patience;
  readonly #lost = new AbortController();
  readonly #closed = new AbortController();
  #seq = 0;
  #leaseMs: number;
  #reportMs: number;
  #leaseTimer: NodeJS.Timeout | undefined;
  #report: Report = { progress: 0, stage: 'starting' };
  #wake: () => void = () => undefined;
  readonly #reporting: Promise<void>;

  constructor(ticket: RenderTicket, claim: ClaimReply, log: Log, patience = PATIENCE) {
    this.#ticket = ticket;
    this.#epoch = claim.epoch;
    this.#leaseMs = claim.lease_ms;
    this.#reportMs = claim.next_report_ms;
    this.#log = log;
    this.#patience = patience;
    this.#renewLease(Date.now());
    this.#reporting = this.#keepReporting();
  }

  /** Aborts with `Fenced` or `LeaseLost`: the work is no longer ours and must stop. */
  get signal(): AbortSignal {
    return this.#lost.signal;
  }

  /** Has this told to the viewers when its turn comes; a change of stage goes at once. */
  report(report: Report): void {
    const isNewStage = report.stage !== this.#report.stage;
    this.#report = report;
    if (isNewStage) this.#wake();
  }

  /**
   * Says that the output is stored.
   * @throws Fenced, LeaseLost, or Refused when the output is not accepted.
   */
  async complete(body: Omit<CompleteBody, 'epoch' | 'seq'>): Promise<void> {
    await this.#say('complete', body, v.object({ success: v.literal(true) }));
  }

  /**
   * Says why the attempt failed; tries for `withinMs`, else for as long as the lease holds.
   * @throws Fenced, LeaseLost, Refused or Unreachable.
   */
  async fail(body: Omit<ErrorBody, 'epoch' | 'seq'>, withinMs = Infinity): Promise<void> {
    await this.#say('error', body, ErrorReply, withinMs);
  }

  /** Ends all reporting; the lease is left to run out. */
  async close(): Promise<void> {
    this.#closed.abort();
    clearTimeout(this.#leaseTimer);
    await this.#reporting;
  }

  /** The last word: repeated, with one number, until it is acknowledged or the lease is gone. */
  async #say<T>(
    name: string,
    body: object,
    reply: v.GenericSchema<unknown, T>,
    withinMs = Infinity,
  ): Promise<void> {
    this.#closed.abort();
    await this.#reporting;
    const message = { ...body, epoch: this.#epoch, seq: this.#nextSeq() };
    const giveUpAt = Date.now() + withinMs;
    const isLate = () => Date.now() > giveUpAt;
    const say = () => call(this.#ticket, name, message, reply, this.signal);
    await insist(say, isLate, this.signal, this.#patience);
  }

  async #keepReporting(): Promise<void> {
    const closed = this.#closed.signal;
    for (let failures = 0; !closed.aborted && !this.signal.aborted;) {
      const sent = this.#report;
      const ok = await this.#sendReport(sent);
      failures = ok ? 0 : failures + 1;
      const { baseMs, capMs } = this.#patience;
      const waitMs = ok ? this.#reportMs : backoff(failures - 1, baseMs, capMs);
      const isOldStage = sent.stage !== this.#report.stage;
      if (!ok || !isOldStage) await this.#waitForTurn(waitMs);
    }
  }

  async #waitForTurn(waitMs: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const inTime = Math.max(MIN_REPORT_MS, Math.min(waitMs, this.#leaseMs / 3));
    await pause(inTime, AbortSignal.any([woken.signal, this.#closed.signal, this.signal]));
  }

  async #sendReport(report: Report): Promise<boolean> {
    const { epoch, seq } = { epoch: this.#epoch, seq: this.#nextSeq() };
    const sentAt = Date.now();
    try {
      const signal = AbortSignal.any([this.signal, this.#closed.signal]);
      const reply = await call(
        this.#ticket,
        'progress',
        { ...report, epoch, seq },
        ReportReply,
        signal,
      );
      this.#leaseMs = reply.lease_ms ?? this.#leaseMs;
      this.#reportMs = reply.next_report_ms ?? this.#reportMs;
      this.#renewLease(sentAt);
      return true;
    } catch (error) {
      if (this.#closed.signal.aborted) return false;
      if (error instanceof Fenced) this.#lost.abort(error);
      this.#log('warn', 'a report was not taken', { reason: redact(error) });
      return false;
    }
  }

  /** Runs from the sending, so that it ends before the server's, which runs from the receipt. */
  #renewLease(from: number): void {
    clearTimeout(this.#leaseTimer);
    // Unreferenced: it must not keep a process alive whose job is over.
    const leftMs = Math.max(0, from + this.#leaseMs - Date.now());
    this.#leaseTimer = setTimeout(() => this.#lost.abort(new LeaseLost()), leftMs);
    this.#leaseTimer.unref();
  }

  #nextSeq(): number {
    this.#seq += 1;
    return this.#seq;
  }
}

/** Repeats a call that found nobody, until it is answered or time is up. */
async function insist<T>(
  attempt: () => Promise<T>,
  isLate: () => boolean,
  signal: AbortSignal,
  { baseMs, capMs }: Patience,
): Promise<T> {
  for (let failures = 0; ; failures += 1) {
    try {
      return await attempt();
    } catch (error) {
      signal.throwIfAborted();
      if (!(error instanceof Unreachable) || isLate()) throw error;
      await pause(backoff(failures, baseMs, capMs), signal);
      signal.throwIfAborted();
    }
  }
}

async function call<T>(
  ticket: RenderTicket,
  name: string,
  body: object,
  reply: v.GenericSchema<unknown, T>,
  signal: AbortSignal,
): Promise<T> {
  const { status, text } = await send(ticket, name, body, signal);
  if (status !== 200) throw refusalOf(status, text);
  try {
    return v.parse(reply, JSON.parse(text));
  } catch (error) {
    throw new Unreachable('the server gave an answer that makes no sense', { cause: error });
  }
}

async function send(ticket: RenderTicket, name: string, body: object, signal: AbortSignal) {
  try {
    const response = await fetch(`${ticket.callback_url.replace(/\/$/, '')}/${name}`, {
      method: 'POST',
      redirect: 'error',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${ticket.token}` },
      body: JSON.stringify(body),
      signal: AbortSignal.any([signal, AbortSignal.timeout(CALL_TIMEOUT_MS)]),
    });
    return { status: response.status, text: await response.text() };
  } catch (error) {
    signal.throwIfAborted();
    throw new Unreachable('the server could not be reached', { cause: error });
  }
}
