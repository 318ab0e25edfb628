// The commands that are one call on one export.
import type { ExportJob } from '@export-jobs/client';
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

function onOne(
  usage: string,
  summary: string,
  call: (session: Session, id: string) => Promise<ExportJob>,
  text: (job: ExportJob, session: Session) => string,
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
          const job = await call(session, id);
          session.result(text(job, session), job);
          return EXIT.done;
        },
      };
    },
  };
}
