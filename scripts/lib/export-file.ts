// Responsible for one export from the command line: a file in, a file out.
import { createWriteStream, openAsBlob } from 'node:fs';
import { rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import {
  createClient,
  type EndedJob,
  type ExportClient,
  type ExportJob,
} from '@export-jobs/client';
import type { ExportOptions } from '@export-jobs/protocol';
import { formatBytes, Progress } from './terminal.ts';
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

/**
 * Uploads a file, follows its export and downloads the result. An abort cancels the export.
 * @returns the path of the result.
 * @throws UserError with the reason when there is no result.
 */
export async function exportFile(task: FileExport): Promise<string> {
  const { baseUrl, file, signal } = task;
  const size = await sizeOf(file);
  if (task.output !== undefined) await assertWritable(task.output);
  const client = createClient({ baseUrl });
  const progress = new Progress();
  try {
    const blob = await openAsBlob(file);
    const named = new File([blob], path.basename(file));
    const label = `sending ${formatBytes(size)}`;
    const { job } = await client.createExport(named, task.options, {
      signal,
      onUploadProgress: (sent) => progress.show(size === 0 ? 0 : (100 * sent) / size, label),
    });
    const ended = await follow(client, job, signal, progress);
    if (ended.status === 'error') throw new UserError(`The export failed: ${ended.error}`);
    if (ended.status === 'cancelled') throw new UserError('The export was cancelled.');
    progress.show(100, 'fetching the result');
    const url = client.downloadUrl(ended);
    try {
      return await download(url, await target(task, ended), signal);
    } catch (error) {
      const reason = error instanceof Error ? error.message : String(error);
      throw new UserError(`The export is done, but could not be saved: ${reason}\nIt is at ${url}`);
    }
  } finally {
    progress.end();
  }
}

async function sizeOf(file: string): Promise<number> {
  const found = await stat(file).catch(() => null);
  if (!found) throw new UserError(`There is no file ${file}`);
  if (!found.isFile()) throw new UserError(`${file} is not a file`);
  return found.size;
}

/** Said before hours of rendering, not after. */
async function assertWritable(output: string): Promise<void> {
  const found = await stat(output).catch(() => null);
  if (found?.isDirectory()) throw new UserError(`${output} is a folder; name a file with -o`);
  if (found) throw new UserError(`${output} exists already; choose another name with -o`);
  const folder = await stat(path.dirname(output)).catch(() => null);
  if (!folder?.isDirectory()) throw new UserError(`There is no folder ${path.dirname(output)}`);
}

async function follow(
  client: ExportClient,
  job: ExportJob,
  signal: AbortSignal,
  progress: Progress,
): Promise<EndedJob> {
  try {
    for await (const { job: now, error } of client.watchExport(job.id, { initial: job, signal })) {
      if (error) throw error;
      if (now) progress.show(now.progress, describe(now));
      if (now && 'completed_at' in now) return now;
    }
    throw new Error('the export could not be followed to its end');
  } catch (error) {
    // Nobody will fetch the result of an export that was broken off.
    if (signal.aborted) await client.cancelExport(job.id).catch(() => undefined);
    throw error;
  }
}

function describe(job: ExportJob): string {
  if (job.status === 'processing') return job.message ?? job.stage;
  if (job.status !== 'pending') return job.status;
  if (job.wait_reason) return `waiting: ${job.wait_reason.replaceAll('_', ' ')}`;
  return { dispatch: 'waiting', renderer: 'waiting for a renderer', retry: 'trying again' }[
    job.waiting_for
  ];
}

/** The path asked for, or `<name>-export.<ext>` with a number when that name is taken. */
async function target(task: FileExport, job: EndedJob & { status: 'complete' }): Promise<string> {
  if (task.output !== undefined) return task.output;
  const extension = path.extname(job.output.filename);
  const stem = path.join(task.folder, `${path.parse(task.file).name}-export`);
  for (let n = 1; ; n += 1) {
    const candidate = `${stem}${n === 1 ? '' : `-${n}`}${extension}`;
    if ((await stat(candidate).catch(() => null)) === null) return candidate;
  }
}

async function download(url: string, file: string, signal: AbortSignal): Promise<string> {
  const response = await fetch(url, { signal });
  if (!response.ok || !response.body) {
    throw new UserError(`The result could not be downloaded (${response.status}).`);
  }
  try {
    // An existing file is never written over.
    await pipeline(response.body, createWriteStream(file, { flags: 'wx' }));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') {
      throw new UserError(`${file} exists already; choose another name with -o`);
    }
    await rm(file, { force: true });
    throw error;
  }
  return file;
}
