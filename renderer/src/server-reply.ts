import { Problem } from '@export-jobs/protocol';
import * as v from 'valibot';

const ProblemText = v.pipe(v.string(), v.parseJson(), Problem);

/** The server says that this attempt is no longer ours, or that the job has ended: stop at once. */
export class Fenced extends Error {
  constructor(code: string) {
    super(`the server said to stop: ${code}`);
  }
}

/** The server refused a call, and the same call would be refused again. */
export class Refused extends Error {
  readonly status: number;
  readonly code: string;
  constructor(status: number, code: string) {
    super(`the server refused: ${status} ${code}`);
    this.status = status;
    this.code = code;
  }
}

/** There was no usable answer; the same call may succeed later. */
export class Unreachable extends Error {}

/**
 * What a refusal means, from its status and `application/problem+json` body.
 * @returns the error to throw.
 */
export function refusalOf(status: number, body: string): Fenced | Refused | Unreachable {
  const problem = v.safeParse(ProblemText, body);
  return refusalIn(problem.success ? { ...problem.output, status } : { status, code: 'unknown' });
}

/** The same from a problem that has been read. */
export function refusalIn({
  status,
  code,
  stop,
}: Pick<Problem, 'status' | 'code' | 'stop'>): Fenced | Refused | Unreachable {
  if (stop) return new Fenced(code);
  if (status >= 500 || status === 429 || status === 408) {
    return new Unreachable(`the server answered ${status} ${code}`);
  }
  return new Refused(status, code);
}
