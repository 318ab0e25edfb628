import { globalsOf, onlyOperand, parseFlags } from '../args.ts';
import type { Command } from '../command.ts';
import { targetOf, watchJob, WATCHING_FLAGS, WATCHING_HELP, watchingOf } from '../watching.ts';

export const watch: Command = {
  usage: 'watch ID [options]',
  summary: 'follows an export to its end; prints the link to the result',
  help: WATCHING_HELP,
  parse(args, env) {
    const { values, positionals } = parseFlags(args, WATCHING_FLAGS);
    const id = onlyOperand('the id', positionals);
    const how = watchingOf(values);
    return {
      globals: globalsOf(values, env),
      async run(session) {
        const file = await targetOf(session, how);
        // Asked for first: watching has no end of patience with a server that is not there.
        const job = await session.client.getExport(id, { signal: session.io.signal });
        return await watchJob(session, job, how, file);
      },
    };
  },
};
