import type { FailureCode } from '@export-jobs/protocol';

/** Bytes of a source that are on their way. */
export interface Part {
  readonly body: AsyncIterable<Uint8Array>;
  /** Where in the source they begin. */
  readonly from: number;
  /** How long the whole source is; undefined where its server does not say. */
  readonly total: number | undefined;
}

/** Where a source comes from, and what is said when it does not come. */
export interface Origin {
  /** No more than this is read, bytes. */
  readonly limit: number;
  /** Nor for longer than this, ms. */
  readonly limitMs: number;
  readonly failures: {
    readonly tooLong: FailureCode;
    readonly tooSlow: FailureCode;
    readonly unreachable: FailureCode;
  };
  /**
   * Asks for the bytes from `from` on; what comes may begin earlier, when it cannot go on with the same version.
   * @throws RenderFailure or Fenced when asking again is no use; anything else is worth another try.
   */
  open(from: number, signal: AbortSignal): Promise<Part>;
}
