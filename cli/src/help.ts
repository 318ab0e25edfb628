// Responsible for the texts of --help.
import { GLOBAL_HELP } from './args.ts';
import type { Command } from './command.ts';
import { COMMANDS } from './commands.ts';

const EXIT_CODES = `Exit codes:
  0    done; when watching: the export is complete
  1    the export failed
  2    the command line makes no sense, or asks for what no export can be
  3    the export was cancelled
  4    there is no such export, or no such file of one
  5    refused: credentials, a conflict, a file that is not there yet
  6    the server cannot be reached, is not ours, or answers 5xx, also after retries
  7    something on this side: the disk, or bytes that are not the export's file
  130  interrupted; the export goes on`;

export function helpOfAll(): string {
  const width = Math.max(...[...COMMANDS.values()].map(({ usage }) => usage.length));
  const commands = [...COMMANDS.values()].map(
    ({ usage, summary }) => `  ${usage.padEnd(width)}  ${summary}`,
  );
  return `usage: export-jobs COMMAND [options]

${commands.join('\n')}

  --version prints the version; COMMAND --help says more.

${GLOBAL_HELP}

${EXIT_CODES}`;
}

export function helpOf({ usage, summary, help }: Command): string {
  const own = help === '' ? '' : `${help}\n\n`;
  return `usage: export-jobs ${usage}

${summary[0]?.toUpperCase()}${summary.slice(1)}.

${own}${GLOBAL_HELP}

${EXIT_CODES}`;
}
