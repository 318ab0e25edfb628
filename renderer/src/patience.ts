/** How long the conversation with the server waits for what, ms. Tests have shorter times. */
export interface Patience {
  /** First and longest pause between two tries of a call. */
  readonly baseMs: number;
  readonly capMs: number;
  /** How long a call or a dial may stay unanswered. */
  readonly callMs: number;
  /** First and longest pause between two dials of the socket. */
  readonly dialBaseMs: number;
  readonly dialCapMs: number;
  /** A socket that was answered on for so long has the next pause start small again. */
  readonly settledMs: number;
  /** How long the first report waits for the socket. */
  readonly headStartMs: number;
}

export const PATIENCE: Patience = {
  baseMs: 500,
  capMs: 8000,
  callMs: 10_000,
  dialBaseMs: 250,
  dialCapMs: 10_000,
  settledMs: 5000,
  headStartMs: 1000,
};
