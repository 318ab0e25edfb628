// Responsible for one command line from words to exit code, apart from the process it runs in.
import { asksFor, splitCommand } from './args.ts';
import { type Command, Session } from './command.ts';
import { COMMANDS } from './commands.ts';
import { EXIT, UsageError } from './exit.ts';
import { failureOf, linesOf } from './failure.ts';
import { helpOf, helpOfAll } from './help.ts';
import type { Io } from './io.ts';
import { VERSION } from './version.ts';

/** Runs a command line. Never rejects: whatever happens is said, and in the exit code. */
export async function run(args: readonly string[], io: Io): Promise<number> {
  const { name, rest } = splitCommand(args);
  const command = name === null ? null : (COMMANDS.get(name) ?? null);
  const asked = asksFor(args);
  if (asked !== null) {
    const help = command === null ? helpOfAll() : helpOf(command);
    io.stdout.write(`${asked === 'version' ? VERSION : help}\n`);
    return EXIT.done;
  }
  const isJson = args.includes('--json');
  const knowing: Knowing = { isJson, url: '', token: null };
  try {
    if (command === null) throw new UsageError(unknown(name));
    return await runCommand(command, rest, io, knowing);
  } catch (error) {
    return fail(error, io, knowing, name);
  }
}

/** What is known by the time something fails. */
interface Knowing {
  isJson: boolean;
  url: string;
  token: string | null;
}

async function runCommand(
  command: Command,
  args: readonly string[],
  io: Io,
  knowing: Knowing,
): Promise<number> {
  const { globals, run } = command.parse(args, io.env);
  Object.assign(knowing, globals.server);
  const session = new Session(io, globals);
  try {
    return await run(session);
  } finally {
    session.endProgress();
  }
}

function unknown(name: string | null): string {
  const names = [...COMMANDS.keys()].join(', ');
  if (name === null) return `a command is missing: ${names}`;
  return `there is no command "${name}", only ${names}`;
}

function fail(
  error: unknown,
  io: Io,
  { isJson, url, token }: Knowing,
  name: string | null,
): number {
  const failure = failureOf(error, url, token);
  const lines = isJson ? [JSON.stringify(failure)] : linesOf(failure);
  for (const line of lines) io.stderr.write(`${line}\n`);
  if (error instanceof UsageError && !isJson) {
    const about = name !== null && COMMANDS.has(name) ? `${name} ` : '';
    io.stderr.write(`Try: export-jobs ${about}--help\n`);
  }
  return failure.exit;
}
