// Responsible for one export from the command line, a file in and a file out: the steps of the
// command line client, but an abort ends the export too, because its stack ends with it.
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { stderr } from 'node:process';
import type { EndedJob, ExportClient, ExportJob } from '@export-jobs/client';
import type { ExportOptions } from '@export-jobs/protocol';
import { viewOf } from '../../cli/src/bar.ts';
import { connect, countingFetch } from '../../cli/src/connect.ts';
import { Display } from '../../cli/src/display.ts';
import { type CompleteJob, saveOutput } from '../../cli/src/download.ts';
import { CliError } from '../../cli/src/exit.ts';
import { assertWritable, openSource, safeName } from '../../cli/src/files.ts';
import { followToEnd } from '../../cli/src/follow.ts';
import { sinkOf } from '../../cli/src/io.ts';
import { formatBytes, painter } from '../../cli/src/text.ts';
import { UserError } from './user-error.ts';

export interface FileExport {
  readonly baseUrl: string;
  /** Absolute. */
  readonly file: string;
  /** Absolute, or undefined for a free name in `folder`. */
  readonly output: string | undefined;
  readonly folder: string;
  readonly options: ExportOptions;
  readonly signal: AbortSignal;
}

/** The stack is on this machine, so it is back soon or not at all. */
const PATIENCE_MS = 120_000;

/**
 * Uploads a file, follows its export and downloads the result. An abort cancels the export.
 * @returns the path of the result.
 * @throws UserError with the reason when there is no result.
 */
export async function exportFile(task: FileExport): Promise<string> {
  const display = new Display(sinkOf(stderr, process.env), painter(stderr.isTTY, process.env));
  try {
    return await work(task, display);
  } catch (error) {
    throw error instanceof CliError ? new UserError(error.message, { cause: error }) : error;
  } finally {
    display.end();
  }
}

async function work(task: FileExport, display: Display): Promise<string> {
  const { file, output, options, signal } = task;
  const source = await openSource(file);
  if (output !== undefined) await assertWritable(output, false);
  const showBytes = (stage: string, done: number, all: number | null) => {
    const percent = all === null || all === 0 ? null : (100 * done) / all;
    display.show({ percent, stage, speed: null, endsAt: null, isLost: false });
  };
  const label = `sending ${formatBytes(source.size)}`;
  const fetch = countingFetch((sent) => showBytes(label, sent, source.size));
  const client = connect({ url: task.baseUrl, token: null }, { fetch });
  const { job } = await client.createExport(source, options, { signal });
  const ended = await follow(client, job, signal, display);
  if (ended.status === 'error') throw new UserError(`The export failed: ${ended.error}`);
  if (ended.status === 'cancelled') throw new UserError('The export was cancelled.');
  const target = output ?? (await freeName(task, ended));
  try {
    const onProgress = (done: number) => showBytes('fetching the result', done, ended.output.size);
    await saveOutput(client, { job: ended, file: target, force: false, signal, onProgress });
    return target;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    const reason = error instanceof Error ? error.message : String(error);
    const url = client.downloadUrl(ended);
    throw new UserError(`The export is done, but could not be saved: ${reason}\nIt is at ${url}`);
  }
}

async function follow(
  client: ExportClient,
  job: ExportJob,
  signal: AbortSignal,
  display: Display,
): Promise<EndedJob> {
  const onState = (...heard: Parameters<typeof viewOf>) => display.show(viewOf(...heard));
  try {
    return await followToEnd(client, { job, signal, patienceMs: PATIENCE_MS, onState });
  } catch (error) {
    // Nobody will fetch the result of an export that was broken off.
    if (signal.aborted) await client.cancelExport(job.id).catch(() => undefined);
    throw error;
  }
}

/** `<name>-export.<ext>`, with a number when that name is taken. */
async function freeName({ folder, file }: FileExport, job: CompleteJob): Promise<string> {
  const extension = path.extname(safeName(job.output.filename));
  const stem = path.join(folder, `${path.parse(file).name}-export`);
  for (let n = 1; ; n += 1) {
    const candidate = `${stem}${n === 1 ? '' : `-${n}`}${extension}`;
    if ((await stat(candidate).catch(() => null)) === null) return candidate;
  }
}
