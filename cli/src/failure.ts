// Responsible for saying why a command failed: one line for people, or one object for programs.
import { ExportApiError, ExportTransportError } from '@export-jobs/client';
import { exitOf } from './exit.ts';
import { flagOf } from './export-flags.ts';
import { clean } from './text.ts';

/** An error as `--json` prints it. */
export interface Failure {
  readonly error: string;
  readonly exit: number;
  readonly code?: string;
  readonly status?: number;
  /** The wrong fields, as JSON pointers into the body that was sent. */
  readonly errors?: readonly { readonly pointer: string; readonly detail: string }[];
}

/** What is known of an error, without stack and without the token. */
export function failureOf(error: unknown, url: string, token: string | null): Failure {
  const hide = (text: string) => withoutToken(text, token);
  const exit = exitOf(error);
  if (!(error instanceof ExportApiError)) return { error: hide(sentenceOf(error, url)), exit };
  const { code, status, message } = error;
  const errors = error.errors.map(({ pointer, detail }) => ({
    pointer: hide(pointer),
    detail: hide(detail),
  }));
  const sentence = code === 'unexpected_response' ? `${url} is not ours: ${message}` : message;
  const wrong = errors.length > 0 ? { errors } : {};
  return { error: hide(sentence), exit, code, status, ...wrong };
}

/** The same for people: a line, and one more for each wrong field. */
export function linesOf({ error, errors = [], code }: Failure): string[] {
  const isDetail = errors.some(({ pointer, detail }) => error === `${pointer}: ${detail}`);
  const first = isDetail ? 'The server does not accept this:' : error;
  const advice =
    code === 'unauthorized' ? ' Set EXPORT_JOBS_TOKEN, or --token, to the API key.' : '';
  const fields = errors.map(({ pointer, detail }) => {
    const flag = flagOf(pointer);
    return flag === null ? `  ${pointer}: ${detail}` : `  ${flag} ${detail} (${pointer})`;
  });
  return [`export-jobs: ${first}${advice}`, ...fields].map(clean);
}

function sentenceOf(error: unknown, url: string): string {
  if (error instanceof ExportTransportError) {
    const why = causeOf(error);
    return `The server at ${url} cannot be reached${why === null ? '' : ` (${why})`}.`;
  }
  if (error instanceof Error) return error.message.split('\n')[0] ?? error.name;
  return String(error);
}

/** The innermost reason, such as ECONNREFUSED. */
function causeOf(error: Error): string | null {
  let found: string | null = null;
  for (let cause = error.cause; cause instanceof Error; cause = cause.cause) {
    if (cause.name === 'TimeoutError') found = 'no answer in time';
    else if ('code' in cause && typeof cause.code === 'string') found = cause.code;
    else if (cause.cause === undefined) found = cause.message;
  }
  return found;
}

function withoutToken(text: string, token: string | null): string {
  return token === null ? text : text.replaceAll(token, '***');
}
