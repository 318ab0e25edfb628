import type { FailureCode } from '@export-jobs/protocol';

/** A render that cannot go on: the code decides what happens next, the message says what was seen. */
export class RenderFailure extends Error {
  readonly code: FailureCode;
  constructor(code: FailureCode, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** Whether an error of Node's carries this system code, such as `ENOSPC`. */
export function hasSystemCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
