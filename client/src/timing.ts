/** Every duration of the client, in ms unless it says otherwise. Tests inject shorter ones. */
export interface Timing {
  /** First and longest wait between two tries. */
  readonly backoffMin: number;
  readonly backoffMax: number;
  /** A connection that lived this long makes the next wait start small again. */
  readonly uptime: number;
  /** A connection that neither opens nor fails for this long is given up. */
  readonly connect: number;
  /** A server that has something to say says it within this long after opening. */
  readonly greeting: number;
  /** Silence after which a ping is sent, and how long its answer may take. A stream may be silent for both. */
  readonly ping: number;
  readonly pong: number;
  /** A page that was out of sight for longer distrusts its connection. */
  readonly hidden: number;
  /** After so many failures in a row each one leads to the next way. */
  readonly failures: number;
  /** Longest time until a better way is tried again. */
  readonly better: number;
  /** How long a poll waits for news, seconds; less than `request`. */
  readonly wait: number;
  /** The shortest time from one poll to the next. */
  readonly poll: number;
  /** Longest time for one HTTP call, uploads excepted. */
  readonly request: number;
  /** How often a safe call is repeated before its failure is passed on. */
  readonly retries: number;
  /** The longest wait that a server may ask for before a repeat; whoever called decides about a longer one. */
  readonly patience: number;
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
  hidden: 30_000,
  failures: 4,
  better: 60_000,
  wait: 25,
  poll: 1_000,
  request: 30_000,
  retries: 5,
  patience: 60_000,
  random: Math.random,
};

/** Half of `ms` and a random part of the other half, so that crowds spread out. */
export const jitter = (ms: number, { random }: Timing): number => (ms * (1 + random())) / 2;

/** The wait after so many failures in a row. */
export const backoff = (n: number, timing: Timing): number =>
  jitter(Math.min(timing.backoffMax, timing.backoffMin * 2 ** Math.max(0, n - 1)), timing);

/** Whatever was thrown, as an error. */
export const errorOf = (thrown: unknown): Error =>
  thrown instanceof Error ? thrown : new Error(String(thrown));

/** Why a signal aborted. */
export const reasonOf = (signal: AbortSignal | undefined): Error => errorOf(signal?.reason);
