// Responsible for the renderer's side of the conversation with the server: claim, reports, the end,
// the lease, and which way each call goes. Must not hold up the work: a report waits for nobody.
import type {
  ClaimBody,
  ClaimReply,
  CompleteBody,
  ErrorBody,
  ProgressBody,
  RendererFrame,
  RenderTicket,
} from '@export-jobs/protocol';
import { PATIENCE, type Patience } from './patience.ts';
import { redact } from './redact.ts';
import { backoff, pause } from './runpod/pause.ts';
import type { Log } from './runpod/log.ts';
import { ServerCalls, type Answer, type Transport } from './server-calls.ts';
import { ServerLink } from './server-link.ts';
import { Fenced, Unreachable } from './server-reply.ts';
import type { Pace } from './server-socket.ts';

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
  Pick<ProgressBody, 'message' | 'fps' | 'speed' | 'eta_ms' | 'megapixels'>;

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
  const calls = new ServerCalls(ticket, patience.callMs);
  const giveUpAt = Date.now() + CLAIM_PATIENCE_MS;
  const isLate = () => Date.now() > giveUpAt;
  return await insist(() => calls.claim(body, signal), isLate, signal, patience);
}

/** The conversation about one claimed job. */
export class Channel {
  readonly #epoch: number;
  readonly #log: Log;
  readonly #patience: Patience;
  readonly #calls: ServerCalls;
  /** Not there when the server offers none. */
  readonly #link: ServerLink | undefined;
  readonly #lost = new AbortController();
  readonly #closed = new AbortController();
  #seq = 0;
  #leaseMs: number;
  #reportMs: number;
  #leaseFrom = 0;
  #leaseTimer: NodeJS.Timeout | undefined;
  #failedOnSocket = false;
  #report: Report = { progress: 0, stage: 'starting' };
  #wake: () => void = () => undefined;
  readonly #reporting: Promise<void>;

  constructor(ticket: RenderTicket, claim: ClaimReply, log: Log, patience = PATIENCE) {
    this.#epoch = claim.epoch;
    this.#leaseMs = claim.lease_ms;
    this.#reportMs = claim.next_report_ms;
    this.#log = log;
    this.#patience = patience;
    this.#calls = new ServerCalls(ticket, patience.callMs);
    this.#link = this.#openLink(ticket, claim);
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
    await this.#say({ type: 'complete', ...body, ...this.#fence() });
  }

  /**
   * Says why the attempt failed; tries for `withinMs`, else for as long as the lease holds.
   * @throws Fenced, LeaseLost, Refused or Unreachable.
   */
  async fail(body: Omit<ErrorBody, 'epoch' | 'seq'>, withinMs = Infinity): Promise<void> {
    await this.#say({ type: 'error', ...body, ...this.#fence() }, withinMs);
  }

  /** Ends all reporting, and the socket; the lease is left to run out. */
  async close(): Promise<void> {
    this.#closed.abort();
    this.#link?.close();
    clearTimeout(this.#leaseTimer);
    await this.#reporting;
  }

  #openLink(ticket: RenderTicket, { channel }: ClaimReply): ServerLink | undefined {
    if (!channel) return undefined;
    const dial = {
      url: channel.url,
      token: ticket.token,
      callMs: this.#patience.callMs,
      onPace: (pace: Pace) => this.#changePace(pace),
      onStop: (code: string) => this.#lost.abort(new Fenced(code)),
    };
    const link = new ServerLink(dial, this.#patience, this.#log);
    this.signal.addEventListener('abort', () => link.close());
    return link;
  }

  /**
   * By the socket where there is one. After a call that failed there the next goes by POST, so that
   * no lease depends on sockets that open, take calls and answer none.
   */
  async #call(frame: RendererFrame, signal: AbortSignal): Promise<Answer> {
    const socket = this.#failedOnSocket ? undefined : this.#link?.socket;
    const transport: Transport = socket ?? this.#calls;
    this.#failedOnSocket = false;
    try {
      return await transport.call(frame, signal);
    } catch (error) {
      this.#failedOnSocket = socket !== undefined && error instanceof Unreachable;
      throw error;
    }
  }

  /** The last word: repeated, with one number, until it is acknowledged or the lease is gone. */
  async #say(word: RendererFrame, withinMs = Infinity): Promise<void> {
    this.#closed.abort();
    await this.#reporting;
    const giveUpAt = Date.now() + withinMs;
    const isLate = () => Date.now() > giveUpAt;
    await insist(() => this.#call(word, this.signal), isLate, this.signal, this.#patience);
  }

  async #keepReporting(): Promise<void> {
    const closed = this.#closed.signal;
    await this.#waitForLink();
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

  /** The claim has just said as much as a first report would: it can wait for a cheaper way. */
  async #waitForLink(): Promise<void> {
    if (!this.#link) return;
    const inTime = Math.min(this.#patience.headStartMs, this.#leaseMs / 3);
    await pause(inTime, AbortSignal.any([this.#link.tried, this.#closed.signal, this.signal]));
  }

  async #waitForTurn(waitMs: number): Promise<void> {
    const woken = new AbortController();
    this.#wake = () => woken.abort();
    const signal = AbortSignal.any([woken.signal, this.#closed.signal, this.signal]);
    await pause(this.#inTime(waitMs), signal);
  }

  /** A wait that spares the server, but not the lease. */
  #inTime(waitMs: number): number {
    return Math.max(MIN_REPORT_MS, Math.min(waitMs, this.#leaseMs / 3));
  }

  async #sendReport(report: Report): Promise<boolean> {
    const frame = { type: 'progress' as const, ...report, ...this.#fence() };
    const sentAt = Date.now();
    try {
      const answer = await this.#call(frame, AbortSignal.any([this.signal, this.#closed.signal]));
      this.#takePace(answer);
      this.#renewLease(sentAt);
      return true;
    } catch (error) {
      if (this.#closed.signal.aborted) return false;
      if (error instanceof Fenced) this.#lost.abort(error);
      this.#log('warn', 'a report was not taken', { reason: redact(error) });
      return false;
    }
  }

  /** A faster one means that a viewer has come, who is told at once. */
  #changePace(pace: Pace): void {
    const before = this.#inTime(this.#reportMs);
    this.#takePace(pace);
    this.#renewLease(this.#leaseFrom);
    if (this.#inTime(this.#reportMs) < before) this.#wake();
  }

  #takePace({ lease_ms = this.#leaseMs, next_report_ms = this.#reportMs }: Answer): void {
    this.#leaseMs = lease_ms;
    this.#reportMs = next_report_ms;
  }

  /** Runs from the sending, so that it ends before the server's, which runs from the receipt. */
  #renewLease(from: number): void {
    this.#leaseFrom = from;
    clearTimeout(this.#leaseTimer);
    const leftMs = Math.max(0, from + this.#leaseMs - Date.now());
    this.#leaseTimer = setTimeout(() => this.#lost.abort(new LeaseLost()), leftMs);
    // It must not keep a process alive whose job is over.
    this.#leaseTimer.unref();
  }

  /** Who speaks, and which call this is. */
  #fence(): { readonly epoch: number; readonly seq: number } {
    this.#seq += 1;
    return { epoch: this.#epoch, seq: this.#seq };
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
