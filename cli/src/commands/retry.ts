import { globalsOf, onlyOperand, parseFlags } from '../args.ts';
import type { Command } from '../command.ts';
import { EXIT } from '../exit.ts';
import { targetOf, watchJob, WATCHING_FLAGS, WATCHING_HELP, watchingOf } from '../watching.ts';

export const retry: Command = {
  usage: 'retry ID [options]',
  summary: 'repeats an export that failed or was cancelled; prints the id of the new one',
  help: `  --watch                waits for the end; prints the link to the result
${WATCHING_HELP}

Asking twice gives the same new export.`,
  parse(args, env) {
    const flags = { ...WATCHING_FLAGS, watch: { type: 'boolean' } } as const;
    const { values, positionals } = parseFlags(args, flags);
    const id = onlyOperand('the id', positionals);
    const how = watchingOf(values);
    const isWatching = values.watch || values.output !== undefined;
    return {
      globals: globalsOf(values, env),
      async run(session) {
        const file = await targetOf(session, how);
        const { job } = await session.client.retryExport(id);
        if (isWatching) {
          session.note(`export ${job.id}`);
          return await watchJob(session, job, how, file);
        }
        session.result(job.id, job);
        return EXIT.done;
      },
    };
  },
};
