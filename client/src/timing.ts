/** Every duration of the client, in ms unless it says otherwise. Tests inject shorter ones. */
export interface Timing {
  /** First and longest wait between two tries. */
  readonly backoffMin: number;
  readonly backoffMax: number;
  /** A socket that lived this long makes the next wait start small again. */
  readonly uptime: number;
  /** A socket that neither opens nor fails for this long is given up. */
  readonly connect: number;
  /** A server that knows the job says so within this long after opening. */
  readonly greeting: number;
  /** Silence after which a ping is sent, and how long its answer may take. */
  readonly ping: number;
  readonly pong: number;
  /** Between two polls, once sockets have failed `failures` times in a row. */
  readonly poll: number;
  readonly failures: number;
  /** Polls between two tries to get a socket back. */
  readonly pollsPerDial: number;
  /** Longest time for one HTTP call, uploads excepted. */
  readonly request: number;
  /** How often a safe call is repeated before its failure is passed on. */
  readonly retries: number;
  /** 0 ≤ x < 1, for the jitter. */
  readonly random: () => number;
}

export const DEFAULT_TIMING: Timing = {
  backoffMin: 250,
  backoffMax: 15_000,
  uptime: 5_000,
  connect: 10_000,
  greeting: 2_000,
  ping: 25_000,
  pong: 8_000,
  poll: 3_000,
  failures: 4,
  pollsPerDial: 10,
  request: 30_000,
  retries: 5,
  random: Math.random,
};

/** The wait before try `n + 1` (n from 0): half fixed, half random, so that crowds spread out. */
export function backoff(n: number, timing: Timing): number {
  const cap = Math.min(timing.backoffMax, timing.backoffMin * 2 ** n);
  return cap / 2 + (timing.random() * cap) / 2;
}

/** Waits `ms`; rejects with the signal's reason when that aborts first. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = () => {
      clearTimeout(timer);
      reject(reasonOf(signal));
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', abort);
      resolve();
    }, ms);
    if (signal?.aborted) abort();
    else signal?.addEventListener('abort', abort, { once: true });
  });
}

/** Why a signal aborted, as an error. */
export function reasonOf(signal: AbortSignal | undefined): Error {
  const reason: unknown = signal?.reason;
  return reason instanceof Error ? reason : new DOMException('aborted', 'AbortError');
}
