/** Something that the person at the terminal can put right; shown without a stack. */
export class UserError extends Error {}

/** A command line that makes no sense. */
export class UsageError extends UserError {}

/** Says on stderr why a command failed: a sentence for the user, a stack for us. */
export function report(error: unknown): void {
  if (error instanceof UserError) console.error(error.message);
  else console.error(error);
}
