// The commands that are one call on one export.
import { globalsOf, onlyOperand, parseFlags } from '../args.ts';
import type { Command, Session } from '../command.ts';
import { detailsOf } from '../describe.ts';
import { EXIT } from '../exit.ts';

export const get: Command = onOne(
  'get ID',
  'shows an export',
  ({ client, io }, id) => client.getExport(id, { signal: io.signal }),
  (job, session) => detailsOf(job, session.paint),
);

export const cancel: Command = onOne(
  'cancel ID',
  'stops an export; one that was cancelled already is no error',
  ({ client }, id) => client.cancelExport(id),
  (job) => `${job.id} ${job.status}`,
);

export const remove: Command = onOne(
  'delete ID',
  'forgets an export that has ended, and its file',
  async ({ client }, id) => {
    await client.deleteExport(id);
    return { id };
  },
  ({ id }) => `${id} deleted`,
);

function onOne<T extends object>(
  usage: string,
  summary: string,
  call: (session: Session, id: string) => Promise<T>,
  text: (answer: T, session: Session) => string,
): Command {
  return {
    usage,
    summary,
    help: '',
    parse(args, env) {
      const { values, positionals } = parseFlags(args, {});
      const id = onlyOperand('the id', positionals);
      return {
        globals: globalsOf(values, env),
        async run(session) {
          const answer = await call(session, id);
          session.result(text(answer, session), answer);
          return EXIT.done;
        },
      };
    },
  };
}
