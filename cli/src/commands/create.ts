import { randomUUID } from 'node:crypto';
import path from 'node:path';
import { type Created, type CreateOptions, ExportApiError } from '@export-jobs/client';
import type { ExportOptionsInput } from '@export-jobs/client';
import { globalsOf, onlyOperand, parseFlags } from '../args.ts';
import type { Command, Session } from '../command.ts';
import { connect, countingFetch } from '../connect.ts';
import { CliError, Interrupted } from '../exit.ts';
import { EXPORT_FLAGS, EXPORT_FLAGS_HELP, exportOptionsOf, numberOf } from '../export-flags.ts';
import { openSource } from '../files.ts';
import { formatBytes } from '../text.ts';
import {
  targetOf,
  watchJob,
  WATCHING_FLAGS,
  WATCHING_HELP,
  type Watching,
  watchingOf,
} from '../watching.ts';

/** What a command line of `create` means. */
export interface CreatePlan {
  /** A path, the id of an upload, or an address on another server. */
  readonly source: string;
  readonly options: ExportOptionsInput;
  readonly how: { readonly tags?: string[]; readonly maxDollars?: number };
  readonly idempotencyKey: string | undefined;
  /** Null to end once the job is made. */
  readonly watching: Watching | null;
}

const FLAGS = {
  ...EXPORT_FLAGS,
  ...WATCHING_FLAGS,
  tag: { type: 'string', multiple: true },
  'max-dollars': { type: 'string' },
  'idempotency-key': { type: 'string' },
  watch: { type: 'boolean' },
} as const;

export const create: Command = {
  usage: 'create FILE [options]',
  summary: 'sends a file and exports it; prints the id of the export',
  help: `${EXPORT_FLAGS_HELP}
  --tag TAG              a label to list it by; up to eight times
  --max-dollars N        stops the export once its renderers have cost this much
  --idempotency-key KEY  repeats with the same key and upload give the first export
  --watch                waits for the end; prints the link to the result
${WATCHING_HELP}

FILE may be the id of an upload (upl_…) that is there already, or an https address, which is read by the
renderer and not from here. An idempotency key goes with one upload:
to repeat a create without making a second export, repeat it with the id of its upload.`,
  parse(args, env) {
    const line = readCreate(args);
    const plan = planOf(line);
    return { globals: globalsOf(line.values, env), run: (session) => run(session, plan) };
  },
};

/** @throws UsageError when there is a flag too many, or one without its value. */
export function readCreate(args: readonly string[]) {
  return parseFlags(args, FLAGS);
}

/** @throws UsageError when a flag has no sense. */
export function planOf({ values, positionals }: ReturnType<typeof readCreate>): CreatePlan {
  const maxDollars = numberOf('max-dollars', values['max-dollars']);
  const isWatching = values.watch || values.output !== undefined;
  return {
    source: onlyOperand('the file', positionals),
    options: exportOptionsOf(values),
    how: {
      ...(values.tag === undefined ? {} : { tags: values.tag }),
      ...(maxDollars === undefined ? {} : { maxDollars }),
    },
    idempotencyKey: values['idempotency-key'],
    watching: isWatching ? watchingOf(values) : null,
  };
}

async function run(session: Session, plan: CreatePlan): Promise<number> {
  const { watching } = plan;
  const file = watching && (await targetOf(session, watching));
  const { job } = await make(session, plan);
  if (watching === null) {
    session.result(job.id, job);
    return 0;
  }
  session.note(`export ${job.id}`);
  return await watchJob(session, job, watching, file);
}

/** Makes the job. An interruption is heeded while bytes are sent, not while the answer is due. */
async function make(session: Session, plan: CreatePlan): Promise<Created> {
  const { source, options } = plan;
  const key = plan.idempotencyKey ?? randomUUID();
  const how: CreateOptions = { ...plan.how, idempotencyKey: key };
  if (/^https?:\/\//i.test(source)) {
    return await session.client.createExport({ url: source }, options, how);
  }
  const isUpload = /^upl_[0-9a-z]{26}$/.test(source);
  const upload_id = isUpload ? source : await send(session, source, () => rehearse(session, plan));
  try {
    return await session.client.createExport({ upload_id }, options, how);
  } catch (error) {
    const again = `create ${upload_id} --idempotency-key ${key}`;
    if (!isUpload) session.note(`The file was sent. To go on: ${session.hint(again)} [options]`);
    throw error;
  }
}

/** Nothing can be uploaded under it, so nothing comes of a job that is to be made from it. */
const NO_UPLOAD = `upl_${'0'.repeat(26)}`;

/**
 * Lets the server judge everything but the bytes, before those are sent: who asks, the options, and
 * the key. A refused call changes nothing.
 * @throws what the server would refuse.
 */
async function rehearse({ client, io }: Session, plan: CreatePlan): Promise<void> {
  const { options, how, idempotencyKey } = plan;
  try {
    await client.createExport({ upload_id: NO_UPLOAD }, options, {
      ...how,
      idempotencyKey,
      signal: io.signal,
    });
  } catch (error) {
    if (!(error instanceof ExportApiError && error.code === 'input_not_found')) throw error;
  }
}

/** @returns the id of the upload. */
async function send(
  session: Session,
  source: string,
  beforehand: () => Promise<void>,
): Promise<string> {
  const { io, globals } = session;
  const file = await openSource(path.resolve(io.cwd, source));
  const label = `sending ${formatBytes(file.size)}`;
  const fetch = countingFetch((sent) => session.showBytes(label, sent, file.size));
  try {
    await beforehand();
    session.showBytes(label, 0, file.size);
    const client = connect(globals.server, { fetch });
    return (await client.uploadFile(file, { signal: io.signal })).upload_id;
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    throw new CliError(error.exit, 'Stopped; no export was made.');
  } finally {
    session.endProgress();
  }
}
