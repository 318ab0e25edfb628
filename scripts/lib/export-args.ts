// Responsible for what `npm start` understands on its command line. Pure: it touches no file.
import { parseArgs } from 'node:util';
import { ExportOptions, explain } from '@export-jobs/protocol';
import * as v from 'valibot';
import { parsePort } from './port.ts';
import { UsageError } from './user-error.ts';

export const USAGE = `usage: npm start -- [--port N]
       npm start -- FILE [-o OUTPUT] [options]

Without a file: starts the whole thing and serves the page until Ctrl-C.
With a file: exports that file and ends.

  --port N               port to serve on (8787)
  -o, --output PATH      where the result goes (FILE's name with -export, in this folder)
  --format FORMAT        mp4, webm, mov or gif (mp4)
  --codec CODEC          h264, hevc, vp9 or av1 (the format's first)
  --width N, --height N  pixels, even (the source's)
  --fit FIT              contain, cover or stretch (contain)
  --fps N                frames a second, at most 60 (the source's)
  --quality N            1 to 100 (60)
  --start S, --end S     seconds of the source (all of it)
  --mute                 without sound`;

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

const TEXT = { type: 'string' } as const;
const FLAGS = {
  port: TEXT,
  output: { type: 'string', short: 'o' },
  format: TEXT,
  codec: TEXT,
  width: TEXT,
  height: TEXT,
  fit: TEXT,
  fps: TEXT,
  quality: TEXT,
  start: TEXT,
  end: TEXT,
  mute: { type: 'boolean' },
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

type Flags = Omit<ReturnType<typeof parse>['values'], 'port' | 'output' | 'help'>;

function optionsOf(flags: Flags): ExportOptions {
  const number = (name: 'width' | 'height' | 'fps' | 'quality' | 'start' | 'end') => {
    const text = flags[name];
    if (text === undefined) return {};
    if (!/^\d+(\.\d+)?$/.test(text))
      throw new UsageError(`--${name} takes a number, not "${text}"`);
    return { [name]: Number(text) };
  };
  const trim = { ...number('start'), ...number('end') };
  const input = {
    ...(flags.format === undefined ? {} : { container: flags.format }),
    ...(flags.codec === undefined ? {} : { codec: flags.codec }),
    ...(flags.fit === undefined ? {} : { fit: flags.fit }),
    ...number('width'),
    ...number('height'),
    ...number('fps'),
    ...number('quality'),
    ...(Object.keys(trim).length > 0 ? { trim } : {}),
    ...(flags.mute === undefined ? {} : { mute: flags.mute }),
  };
  const result = v.safeParse(ExportOptions, input);
  if (result.success) return result.output;
  const [issue] = result.issues;
  const where = v
    .getDotPath(issue)
    ?.replace('container', 'format')
    .replace(/^trim\.?/, '');
  throw new UsageError(
    where === undefined ? explain(issue) : `--${where || 'end'} ${explain(issue)}`,
  );
}
