import { reasonOf, type Log } from './log.ts';
import { abortLater, backoff, pause } from './pause.ts';

/** Some eight minutes with the pauses below: a call that fails for longer will not come right. */
const MAX_TRIES = 45;
/** A refusal may be a hiccup: people report a 400 that passes (davefojtik/RunPod-Fooocus-API#46). */
const MAX_REFUSALS = 3;
const TOO_LARGE = 413;
const HURRY_MS = 5000;

/** @returns the HTTP status; throws when there is no answer. */
type Send = (giveUp: AbortSignal) => Promise<number>;

export interface Insistence {
  /** First pause, ms; doubles up to fifteen times itself. */
  readonly retryMs: number;
  /** Ends it. */
  readonly giveUp: AbortSignal;
  /** Aborts when the process must end: then pauses are short, and little time is left. */
  readonly hurry: AbortSignal;
  readonly log: Log;
}

/**
 * Repeats a call until it is taken, refused for good, or given up. Whoever answers may see it twice:
 * an answer can be lost.
 * @param hurryMs how long it may still go on in a hurry.
 * @returns the last HTTP status, 0 when there was no answer.
 */
export async function insist(
  send: Send,
  insistence: Insistence,
  hurryMs = HURRY_MS,
): Promise<number> {
  const over = new AbortController();
  const late = abortLater(insistence.hurry, hurryMs, over.signal);
  const giveUp = AbortSignal.any([insistence.giveUp, late]);
  try {
    return await sendAgain(send, { ...insistence, giveUp });
  } finally {
    over.abort();
  }
}

async function sendAgain(send: Send, { retryMs, giveUp, hurry, log }: Insistence): Promise<number> {
  let status = 0;
  let refusals = 0;
  for (let tries = 1; !giveUp.aborted; tries += 1) {
    status = await statusOf(send, giveUp, log);
    if (isTaken(status) || status === TOO_LARGE) return status;
    if (isRefusal(status)) refusals += 1;
    if (refusals === MAX_REFUSALS || tries === MAX_TRIES) return status;
    const waitMs = hurry.aborted ? retryMs : backoff(tries - 1, retryMs, 15 * retryMs);
    await pause(waitMs, hurry.aborted ? giveUp : AbortSignal.any([giveUp, hurry]));
  }
  return status;
}

export function isTaken(status: number): boolean {
  return status >= 200 && status < 300;
}

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 408 && status !== 429;
}

async function statusOf(send: Send, giveUp: AbortSignal, log: Log): Promise<number> {
  try {
    const status = await send(giveUp);
    if (!isTaken(status)) log('warn', 'RunPod refused what was sent', { status });
    return status;
  } catch (error) {
    if (!giveUp.aborted) log('warn', 'sending failed', { reason: reasonOf(error) });
    return 0;
  }
}
