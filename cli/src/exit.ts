// Responsible for how a command ends: the exit codes that scripts rely on, and which error is which.
import {
  type EndedJob,
  ExportApiError,
  ExportTransportError,
  type JobStatus,
} from '@export-jobs/client';

/** Documented in the README and in `--help`; a code never changes its meaning. */
export const EXIT = {
  done: 0,
  /** The export ended with `error`. */
  failed: 1,
  usage: 2,
  cancelled: 3,
  notFound: 4,
  refused: 5,
  unreachable: 6,
  /** Something on this side: the disk, or bytes that are not the job's file. */
  local: 7,
  interrupted: 130,
} as const;

/** An end that is no surprise: its message is all there is to say. */
export class CliError extends Error {
  readonly exit: number;

  constructor(exit: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exit = exit;
  }
}

/** A command line that makes no sense. */
export class UsageError extends CliError {
  constructor(message: string) {
    super(EXIT.usage, message);
  }
}

/** Somebody wants this command to end: the reason of the signal that every command gets. */
export class Interrupted extends CliError {}

const OF_STATUS: Readonly<Record<EndedJob['status'], number>> = {
  complete: EXIT.done,
  error: EXIT.failed,
  cancelled: EXIT.cancelled,
} satisfies Partial<Record<JobStatus, number>>;

/** How watching an export ends. */
export function exitOfJob(job: EndedJob): number {
  return OF_STATUS[job.status];
}

/** How a command ends that was thrown out of. */
export function exitOf(error: unknown): number {
  if (error instanceof CliError) return error.exit;
  if (error instanceof ExportTransportError) return EXIT.unreachable;
  if (error instanceof ExportApiError) return exitOfRefusal(error);
  return EXIT.local;
}

function exitOfRefusal({ code, status }: ExportApiError): number {
  // An answer that is not the server's own, whatever its status: a 404 of a stranger says nothing
  // about a job.
  if (code === 'unexpected_response' || status >= 500) return EXIT.unreachable;
  if (code === 'invalid_body' || code === 'invalid_query') return EXIT.usage;
  return status === 404 ? EXIT.notFound : EXIT.refused;
}
