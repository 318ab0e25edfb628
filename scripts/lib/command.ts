// Responsible for what the commands that run for long have in common: their command line, their folder, their end.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { parseArgs, type ParseArgsOptionsConfig } from 'node:util';
import { onStop } from './until-stopped.ts';
import { report, UsageError } from './user-error.ts';

/**
 * Runs a command to its exit code. Every part dies with this process, however it ends.
 * @param usage is printed when `run` finds that it was asked for, or that the command line makes no sense.
 */
export async function runCommand(
  usage: string,
  run: (args: readonly string[]) => Promise<number | 'help'>,
): Promise<number> {
  onStop((sign) => {
    console.error(`Stopped (${sign}).`);
    process.exit(130);
  });
  try {
    const code = await run(process.argv.slice(2));
    if (code !== 'help') return code;
    console.log(usage);
    return 0;
  } catch (error) {
    report(error);
    if (error instanceof UsageError) console.error(`\n${usage}`);
    return error instanceof UsageError ? 2 : 1;
  }
}

/** Runs with a folder of its own, which is removed afterwards, unless it is to be kept. */
export async function inFolder<T>(
  name: string,
  isKept: boolean,
  run: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = await mkdtemp(path.join(tmpdir(), `export-jobs-${name}-`));
  try {
    return await run(folder);
  } finally {
    if (isKept) console.log(`kept: ${folder}`);
    else await rm(folder, { recursive: true, force: true });
  }
}

/** The flags of a command line. @throws UsageError that says what is wrong. */
export function parseFlags<const O extends ParseArgsOptionsConfig>(
  args: readonly string[],
  options: O,
) {
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    throw new UsageError(error instanceof Error ? error.message : String(error));
  }
}

/** The number of a flag. @throws UsageError when it is no whole number, or less than `from`. */
export function whole(name: string, text: string, from = 1): number {
  if (/^\d{1,7}$/.test(text) && Number(text) >= from) return Number(text);
  throw new UsageError(`--${name} takes a whole number from ${from}, not "${text}"`);
}
