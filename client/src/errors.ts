import type { Problem, ProblemCode } from '@export-jobs/protocol';
import { isProblem } from './guards.ts';

/** The server refused. `code` is stable and meant for programs; `detail` is meant for people. */
export class ExportApiError extends Error {
  override readonly name = 'ExportApiError';
  /** A code of the protocol, or `unexpected_response` for an answer that is not the server's own. */
  readonly code: ProblemCode | 'unexpected_response' | (string & {});
  readonly status: number;
  /** Whether the same call may succeed later. */
  readonly retryable: boolean;
  readonly detail: string | undefined;
  /** The wrong fields, as JSON pointers into the body that was sent. */
  readonly errors: readonly { pointer: string; detail: string }[];
  readonly stop: boolean;

  constructor(problem: Problem) {
    super(problem.detail ?? problem.title);
    this.code = problem.code;
    this.status = problem.status;
    this.retryable = problem.retryable;
    this.detail = problem.detail;
    this.errors = problem.errors ?? [];
    this.stop = problem.stop ?? false;
  }
}

/** The call never got an answer: no network, no server, a time-out. Always worth another try. */
export class ExportTransportError extends Error {
  override readonly name = 'ExportTransportError';
}

/** Whether repeating the call makes sense. */
export function isRetryable(error: unknown): boolean {
  return error instanceof ExportApiError ? error.retryable : error instanceof ExportTransportError;
}

/** Builds the error of a refusal from its status and body text. */
export function apiError(status: number, text: string): ExportApiError {
  const body = parseJson(text);
  if (isProblem(body)) return new ExportApiError(body);
  return new ExportApiError({
    type: 'about:blank',
    title: `The server answered ${status} in a way that was not expected.`,
    status,
    code: 'unexpected_response',
    retryable: status >= 500 || status === 429 || status === 408,
  });
}

/** JSON or `undefined`; callers check the shape next, so a broken text needs no error of its own. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
