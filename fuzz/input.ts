import type { ProblemCode } from '@export-jobs/protocol';

/** One bad input: bytes for one connection, and what must come of them. */
export interface Input {
  /** What is bad about it; the rows of the table. */
  readonly kind: string;
  /** Which one it is, for people. */
  readonly what: string;
  /** What is sent, in this order. */
  readonly pieces: readonly Piece[];
  /** What is sent once a WebSocket has opened. */
  readonly frames: readonly Buffer[];
  readonly expect: Expect;
}

/** Bytes; a pause, ms; or our end of the connection, after which it can still be answered. */
export type Piece = Buffer | { readonly pause: number } | 'end';

export type Expect =
  | {
      readonly by: 'refusal';
      /** The problems that are right answers. */
      readonly codes: readonly ProblemCode[];
      /** Statuses with which the runtime itself may answer before the Worker sees anything. */
      readonly platform: readonly number[];
      /** The answer has no body. */
      readonly head: boolean;
    }
  /** A socket opens and then does one of these. */
  | {
      readonly by: 'socket';
      /** Ignores it, and answers the ping that follows. */
      readonly pong: boolean;
      readonly closes: readonly number[];
      /** Refuses a renderer's call, in so many words. */
      readonly notices: readonly ProblemCode[];
    }
  /** Half a request, or half a message: the server may wait for the rest until we leave. */
  | { readonly by: 'nothing' };

/** What came of an input. */
export interface Outcome {
  readonly answer: Answer | null;
  /** The texts that a socket said. */
  readonly texts: readonly string[];
  readonly closeCode: number | null;
  /** `silent`: nothing that ends it came in time. */
  readonly end: 'answered' | 'closed' | 'left' | 'silent';
  readonly ms: number;
}

export interface Answer {
  readonly status: number;
  /** By lower-case name. */
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
}

/** A refusal with one of these codes. */
export function refusal(
  codes: readonly ProblemCode[],
  { platform = [], head = false }: { platform?: readonly number[]; head?: boolean } = {},
): Expect {
  return { by: 'refusal', codes, platform, head };
}

/** What an opened socket may do. */
export function socket(may: {
  pong?: boolean;
  closes?: readonly number[];
  notices?: readonly ProblemCode[];
}): Expect {
  return { by: 'socket', pong: false, closes: [], notices: [], ...may };
}
