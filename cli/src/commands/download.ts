import path from 'node:path';
import { globalsOf, onlyOperand, parseFlags } from '../args.ts';
import type { Command } from '../command.ts';
import { EXIT, UsageError } from '../exit.ts';
import { assertWritable, safeName } from '../files.ts';
import { assertComplete, save, SAVING_FLAGS } from '../watching.ts';

export const download: Command = {
  usage: 'download ID [-o FILE] [--force]',
  summary: "saves a finished export's file; prints its path",
  help: `  -o, --output FILE      where to (the export's own name, in this folder)
  --force                FILE may be replaced

The file gets its name once it is whole and is, by size and SHA-256, the one that was made.`,
  parse(args, env) {
    const { values, positionals } = parseFlags(args, SAVING_FLAGS);
    const id = onlyOperand('the id', positionals);
    const { output, force = false } = values;
    if (output === '') throw new UsageError('--output takes the name of a file');
    return {
      globals: globalsOf(values, env),
      async run(session) {
        const { cwd, signal } = session.io;
        const asked = output === undefined ? null : path.resolve(cwd, output);
        if (asked !== null) await assertWritable(asked, force);
        const job = await session.client.getExport(id, { signal });
        assertComplete(session, job);
        const file = asked ?? path.resolve(cwd, safeName(job.output.filename));
        if (asked === null) await assertWritable(file, force);
        const saved = await save(session, job, { file, force });
        session.result(file, { id: job.id, ...saved });
        return EXIT.done;
      },
    };
  },
};
