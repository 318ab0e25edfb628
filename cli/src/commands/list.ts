import type { JobStatus, ListOptions } from '@export-jobs/client';
import { globalsOf, noOperands, parseFlags } from '../args.ts';
import type { Command, Session } from '../command.ts';
import { rowOf } from '../describe.ts';
import { EXIT, UsageError } from '../exit.ts';
import { choice, numberOf } from '../export-flags.ts';

const STATUSES: Record<JobStatus, true> = {
  pending: true,
  processing: true,
  complete: true,
  error: true,
  cancelled: true,
};
const DEFAULT_LIMIT = 20;
const PAGE = 100;

const FLAGS = {
  status: { type: 'string' },
  tag: { type: 'string' },
  limit: { type: 'string' },
  all: { type: 'boolean' },
} as const;

export const list: Command = {
  usage: 'list [options]',
  summary: 'lists exports, the newest first',
  help: `  --status STATUS        pending, processing, complete, error or cancelled
  --tag TAG              those with this label; not together with --status
  --limit N              how many at most (${DEFAULT_LIMIT})
  --all                  without a limit`,
  parse(args, env) {
    const { values, positionals } = parseFlags(args, FLAGS);
    noOperands(positionals);
    const { limit, all, tag } = values;
    const status = choice('status', values.status, STATUSES);
    if (status !== undefined && tag !== undefined)
      throw new UsageError('--status or --tag, not both');
    if (limit !== undefined && all) throw new UsageError('--limit or --all, not both');
    const most = all ? Infinity : (numberOf('limit', limit) ?? DEFAULT_LIMIT);
    if (most < 1 || (most % 1 !== 0 && !all))
      throw new UsageError('--limit takes a whole number above 0');
    return {
      globals: globalsOf(values, env),
      run: (session) => run(session, { status, tag }, most),
    };
  },
};

async function run(
  session: Session,
  filter: Pick<ListOptions, 'status' | 'tag'>,
  most: number,
): Promise<number> {
  const { client, io, paint } = session;
  let cursor: string | undefined;
  for (let left = most; left > 0; left -= PAGE) {
    const limit = Math.min(PAGE, left);
    const page = await client.listExports({ ...filter, limit, cursor, signal: io.signal });
    for (const job of page.data) session.result(rowOf(job, paint), job);
    if (page.next_cursor === null) return EXIT.done;
    cursor = page.next_cursor;
  }
  if (cursor !== undefined) session.note('There are more: --all, or --limit N.');
  return EXIT.done;
}
