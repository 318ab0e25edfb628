// Responsible for what create, watch and retry share: to watch an export to its end, and to save its
// file.
import path from 'node:path';
import type { ExportJob } from '@export-jobs/client';
import type { Session } from './command.ts';
import { type CompleteJob, saveOutput } from './download.ts';
import { CliError, exitOfJob, EXIT, Interrupted, UsageError } from './exit.ts';
import { numberOf } from './export-flags.ts';
import { assertWritable } from './files.ts';
import { followToEnd } from './follow.ts';
import { clean, formatBytes } from './text.ts';

export const SAVING_FLAGS = {
  output: { type: 'string', short: 'o' },
  force: { type: 'boolean' },
} as const;

export const WATCHING_FLAGS = { ...SAVING_FLAGS, patience: { type: 'string' } } as const;

export const WATCHING_HELP = `  -o, --output FILE      watches, and saves the result as FILE
  --force                FILE may be replaced
  --patience SECONDS     how long the server may be out of reach while watching (300)`;

export interface Watching {
  /** As typed. */
  readonly output: string | undefined;
  readonly force: boolean;
  readonly patienceMs: number;
}

/** @throws UsageError */
export function watchingOf(values: {
  output?: string;
  force?: boolean;
  patience?: string;
}): Watching {
  const { output, force = false } = values;
  if (output === '') throw new UsageError('--output takes the name of a file');
  const patienceMs = 1000 * (numberOf('patience', values.patience) ?? 300);
  return { output, force, patienceMs };
}

/** Says before the work that the result could not be saved. @returns the absolute path. */
export async function targetOf(session: Session, how: Watching): Promise<string | null> {
  if (how.output === undefined) return null;
  const file = path.resolve(session.io.cwd, how.output);
  await assertWritable(file, how.force);
  return file;
}

/** @returns how it ended, as an exit code; prints the saved file, or else the link. */
export async function watchJob(
  session: Session,
  job: ExportJob,
  { patienceMs, force }: Watching,
  file: string | null,
): Promise<number> {
  const ended = await follow(session, job, patienceMs);
  if (ended.status === 'error') {
    session.note(`The export failed: ${clean(ended.error)} (${ended.error_code})`);
  } else if (ended.status === 'cancelled') {
    session.note('The export was cancelled.');
  } else if (file === null) {
    session.answer(clean(session.client.downloadUrl(ended)));
  } else {
    await save(session, ended, { file, force });
    session.answer(file);
  }
  return exitOfJob(ended);
}

async function follow(session: Session, job: ExportJob, patienceMs: number) {
  const { signal } = session.io;
  let told: ExportJob | null = null;
  try {
    return await followToEnd(session.client, {
      job,
      signal,
      patienceMs,
      onState(now, isLost, heardAt) {
        if (now !== told) session.event(now);
        told = now;
        session.showJob(now, isLost, heardAt);
      },
    });
  } catch (error) {
    if (!(error instanceof Interrupted)) throw error;
    const stop = session.hint(`cancel ${job.id}`);
    throw new CliError(error.exit, `Stopped watching; the export goes on. To stop it: ${stop}`);
  } finally {
    session.endProgress();
  }
}

/** Downloads a finished export, showing how far it is. */
export async function save(
  session: Session,
  job: CompleteJob,
  { file, force }: { file: string; force: boolean },
) {
  const { size } = job.output;
  const stage = size === null ? 'receiving' : `receiving ${formatBytes(size)}`;
  try {
    return await saveOutput(session.client, {
      job,
      file,
      force,
      signal: session.io.signal,
      onProgress: (received) => session.showBytes(stage, received, size),
    });
  } catch (error) {
    const again = session.hint(`download ${job.id} -o FILE`);
    if (error instanceof CliError) {
      throw new CliError(error.exit, `${error.message} The export is done: ${again}`);
    }
    throw error;
  } finally {
    session.endProgress();
  }
}

/** @throws CliError that says why there is no file. */
export function assertComplete(session: Session, job: ExportJob): asserts job is CompleteJob {
  switch (job.status) {
    case 'complete':
      return;
    case 'error':
      throw new CliError(EXIT.failed, `There is no file: the export failed: ${clean(job.error)}`);
    case 'cancelled':
      throw new CliError(EXIT.cancelled, 'There is no file: the export was cancelled.');
    case 'pending':
    case 'processing': {
      const wait = session.hint(`watch ${job.id} -o FILE`);
      throw new CliError(EXIT.refused, `The export is not done yet. To wait for it: ${wait}`);
    }
  }
}
