import { problem } from '@export-jobs/protocol';
import type { Problem, ProblemCode } from '@export-jobs/protocol';

/** A refusal on its way out: thrown at the edge, answered as `application/problem+json`. */
export class Refusal extends Error {
  readonly code: ProblemCode;
  readonly extra: Pick<Problem, 'detail' | 'errors'>;
  readonly headers: Record<string, string>;

  constructor(
    code: ProblemCode,
    extra: Pick<Problem, 'detail' | 'errors'> = {},
    headers: Record<string, string> = {},
  ) {
    super(code);
    this.code = code;
    this.extra = extra;
    this.headers = headers;
  }
}

/** Answers with JSON that nobody caches. */
export function json(body: object, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(JSON.stringify(body), {
    status,
    headers: {
      'content-type': 'application/json',
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...headers,
    },
  });
}

/** One line of JSON for each. */
export function ndjson(lines: readonly object[]): string {
  return lines.map((line) => `${JSON.stringify(line)}\n`).join('');
}

/** Answers with a problem (RFC 9457). */
export function refuse(
  code: ProblemCode,
  extra: Pick<Problem, 'detail' | 'errors'> = {},
  headers: Record<string, string> = {},
): Response {
  const body = problem(code, extra);
  return json(body, body.status, {
    'content-type': 'application/problem+json',
    ...(body.status === 401 && { 'www-authenticate': 'Bearer' }),
    ...(body.status === 429 && { 'retry-after': '10' }),
    ...(body.status === 426 && { upgrade: 'websocket' }),
    ...headers,
  });
}
