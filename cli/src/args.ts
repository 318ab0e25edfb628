// Responsible for what every command understands on its command line. Pure.
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import type { Server } from './connect.ts';
import { UsageError } from './exit.ts';

export const DEFAULT_URL = 'http://localhost:8787';

const GLOBAL_FLAGS = {
  url: { type: 'string' },
  token: { type: 'string' },
  json: { type: 'boolean' },
  quiet: { type: 'boolean', short: 'q' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean' },
} as const;

export const GLOBAL_HELP = `  --url URL              the server (EXPORT_JOBS_URL, else ${DEFAULT_URL})
  --token TOKEN          the API key; better in EXPORT_JOBS_TOKEN, which other users cannot see
  --json                 one JSON object a line on stdout, and nothing else there
  -q, --quiet            no progress and no notes
  -h, --help             this`;

/** What is meant by every command line. */
export interface Globals {
  readonly server: Server;
  /** Whether the address was typed, so that a hint to type another command must repeat it. */
  readonly isUrlTyped: boolean;
  readonly json: boolean;
  readonly quiet: boolean;
}

/**
 * The command's name, which is the first word, and all the rest. Flags of all commands may stand
 * before it.
 */
export function splitCommand(args: readonly string[]): { name: string | null; rest: string[] } {
  const { tokens } = parseArgs({
    args: [...args],
    options: GLOBAL_FLAGS,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const first = tokens.find(({ kind }) => kind === 'positional');
  if (first?.kind !== 'positional') return { name: null, rest: [...args] };
  return { name: first.value, rest: args.toSpliced(first.index, 1) };
}

/** Whether help or the version is asked for, whatever else is wrong with the line. */
export function asksFor(args: readonly string[]): 'help' | 'version' | null {
  const options = [...args];
  const { values } = parseArgs({
    args: options,
    options: GLOBAL_FLAGS,
    strict: false,
    allowPositionals: true,
  });
  if (values.help) return 'help';
  return values.version ? 'version' : null;
}

/** @throws UsageError in the words of the flag. */
export function parseFlags<const F extends ParseArgsOptionsConfig>(
  args: readonly string[],
  flags: F,
) {
  try {
    return parseArgs({
      args: [...args],
      options: { ...flags, ...GLOBAL_FLAGS },
      allowPositionals: true,
    });
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    // What follows explains how to pass a file whose name looks like a flag.
    throw new UsageError(message.replace(/\. To specify a positional.*$/s, ''));
  }
}

/** @throws UsageError when it is not exactly one. */
export function onlyOperand(what: string, operands: readonly string[]): string {
  const [operand, ...more] = operands;
  if (operand === undefined || operand === '') throw new UsageError(`${what} is missing`);
  if (more.length > 0) throw new UsageError(`one at a time, not also "${more.join('", "')}"`);
  return operand;
}

/** @throws UsageError when there is one. */
export function noOperands(operands: readonly string[]): void {
  if (operands.length > 0) throw new UsageError(`"${operands.join('", "')}" means nothing here`);
}

/** @throws UsageError when the address or the token cannot be one. */
export function globalsOf(
  values: { url?: string; token?: string; json?: boolean; quiet?: boolean },
  env: Readonly<Record<string, string | undefined>>,
): Globals {
  const url = values.url ?? (env['EXPORT_JOBS_URL'] || DEFAULT_URL);
  const token = (values.token ?? env['EXPORT_JOBS_TOKEN'])?.trim() || null;
  if (token !== null && !/^[\x21-\x7E]+$/.test(token)) {
    throw new UsageError('the token has characters that no token has');
  }
  return {
    server: { url: addressOf(url), token },
    isUrlTyped: values.url !== undefined,
    json: values.json ?? false,
    quiet: values.quiet ?? false,
  };
}

function addressOf(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : null;
  if (url?.protocol !== 'http:' && url?.protocol !== 'https:') {
    throw new UsageError(`--url takes an address like ${DEFAULT_URL}, not "${text}"`);
  }
  // Not repeated: it may hold a password.
  if (url.username !== '' || url.password !== '') {
    throw new UsageError('--url takes no credentials; use EXPORT_JOBS_TOKEN');
  }
  return (url.origin + url.pathname).replace(/\/+$/, '');
}
