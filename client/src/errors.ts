import type { Problem, ProblemCode } from '@export-jobs/protocol';
import { isProblem } from './guards.ts';

/** The server refused. `code` is stable and meant for programs; `detail` is meant for people. */
export class ExportApiError extends Error {
  override readonly name = 'ExportApiError';
  /** A code of the protocol, or `unexpected_response` for an answer that is not the server's own. */
  declare readonly code: ProblemCode | 'unexpected_response' | (string & {});
  declare readonly status: number;
  /** Whether the same call may succeed later. */
  declare readonly retryable: boolean;
  declare readonly detail: string | undefined;
  /** The wrong fields, as JSON pointers into the body that was sent. */
  declare readonly errors: readonly { pointer: string; detail: string }[];
  declare readonly stop: boolean;
  /** How long the server asks to wait before the next try, ms. */
  declare readonly retryAfterMs: number | undefined;
  /** What its operator finds this request by. */
  declare readonly requestId: string | undefined;

  constructor(problem: Omit<Problem, 'type'>, headers?: Headers) {
    super(problem.detail ?? problem.title);
    Object.assign(this, {
      errors: [],
      stop: false,
      ...problem,
      retryAfterMs: Number(headers?.get('retry-after')) * 1000 || undefined,
      requestId: headers?.get('cf-ray') ?? undefined,
    });
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

/** How long the server asks to wait before a repeat, ms. */
export const askedWait = (error: unknown): number =>
  (error instanceof ExportApiError && error.retryAfterMs) || 0;

/** Builds the error of a refusal from its status and body. */
export function apiError(status: number, body: unknown, headers?: Headers): ExportApiError {
  const problem = isProblem(body)
    ? body
    : {
        title: `Unexpected answer (${status})`,
        code: 'unexpected_response',
        retryable: status >= 500 || status === 429 || status === 408,
      };
  return new ExportApiError({ ...problem, status }, headers);
}

/** JSON or `undefined`; callers check the shape next, so a broken text needs no error of its own. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
