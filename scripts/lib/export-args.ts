// Responsible for what `npm start` understands on its command line. Pure: it touches no file.
import { parseArgs } from 'node:util';
import { ExportOptions, explain } from '@export-jobs/protocol';
import * as v from 'valibot';
import {
  EXPORT_FLAGS,
  EXPORT_FLAGS_HELP,
  exportOptionsOf,
  type ExportFlags,
  flagOf,
} from '../../cli/src/export-flags.ts';
import { parsePort } from './port.ts';
import { UsageError } from './user-error.ts';

export const USAGE = `usage: npm start -- [--port N]
       npm start -- FILE [-o OUTPUT] [options]

Without a file: starts the whole thing and serves the page until Ctrl-C.
With a file: exports that file and ends.

  --port N               port to serve on (8787)
  -o, --output PATH      where the result goes (FILE's name with -export, in this folder)
${EXPORT_FLAGS_HELP}`;

export interface StartArgs {
  /** Undefined when none was asked for. */
  readonly port: number | undefined;
  /** The export to make, or null to serve until stopped. */
  readonly job: {
    readonly file: string;
    readonly output: string | undefined;
    readonly options: ExportOptions;
  } | null;
}

const FLAGS = {
  ...EXPORT_FLAGS,
  port: { type: 'string' },
  output: { type: 'string', short: 'o' },
  help: { type: 'boolean', short: 'h' },
} as const;

/** @throws UsageError that says what is wrong. @returns null when help was asked for. */
export function parseStartArgs(args: readonly string[]): StartArgs | null {
  const { values, positionals } = parse(args);
  if (values.help) return null;
  const port = values.port === undefined ? undefined : parsePort(values.port, 0);
  const [file, ...more] = positionals;
  if (more.length > 0) throw new UsageError(`one file at a time, not also "${more.join('", "')}"`);
  const { port: _port, output, help: _help, ...rest } = values;
  if (file === undefined) {
    const stray = output === undefined ? Object.keys(rest)[0] : 'output';
    if (stray !== undefined) throw new UsageError(`--${stray} needs a file to export`);
    return { port, job: null };
  }
  return { port, job: { file, output, options: optionsOf(rest) } };
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: FLAGS, allowPositionals: true });
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** Judged here, so that nothing is started for what no export can be. */
function optionsOf(flags: ExportFlags): ExportOptions {
  const result = v.safeParse(ExportOptions, writtenOptions(flags));
  if (result.success) return result.output;
  const [issue] = result.issues;
  const flag = flagOf(`/options/${(v.getDotPath(issue) ?? '').replaceAll('.', '/')}`);
  throw new UsageError(`${flag === null ? '' : `${flag} `}${explain(issue)}`);
}

function writtenOptions(flags: ExportFlags) {
  try {
    return exportOptionsOf(flags);
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}
