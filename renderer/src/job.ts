// The life of one render, from its ticket to its end. Every way out tells the server first.
import { randomUUID } from 'node:crypto';
import { FAILURES, RenderTicket, type FailureCode } from '@export-jobs/protocol';
import * as v from 'valibot';
import { Channel, claimJob, LeaseLost } from './callbacks.ts';
import { hasSystemCode, RenderFailure } from './failure.ts';
import type { FfmpegReport } from './ffmpeg/locate.ts';
import { clearJobFolder, makeJobFolder } from './job-folder.ts';
import { PATIENCE, type Patience } from './patience.ts';
import { redact } from './redact.ts';
import { JobAborted, type Job, type JobContext, type JobResult } from './runpod/index.ts';
import { abortLater } from './runpod/pause.ts';
import { Fenced, Refused } from './server-reply.ts';
import { doWork, type Timing } from './work.ts';

/** What the process gives every job. */
export interface RendererSetup {
  readonly ffmpeg: FfmpegReport;
  /** Where jobs keep their files. */
  readonly root: string;
  /** Hosts that sources may be read from though they are not public. */
  readonly sourceHosts?: readonly string[];
  /** Shorter times for tests. */
  readonly timing?: Timing & { readonly patience?: Partial<Patience> };
}

/** The longest name that a claim may carry. */
const MAX_LABEL_CHARS = 200;
/** How long a process that must end still tries to say so, ms. */
const LAST_WORD_MS = 5000;

const FENCED: JobResult = { output: { fenced: true } };

/**
 * Does one job of RunPod's. Failures of the work are told to the server and are no error for
 * RunPod; only what the server could not be told is. A worker on which something of the job goes on
 * is to end with it: with the container go all its processes and files.
 */
export async function renderJob(
  job: Job,
  context: JobContext,
  setup: RendererSetup,
): Promise<JobResult> {
  const ticket = v.safeParse(RenderTicket, job.input);
  if (!ticket.success) return { error: 'the input is not a render ticket' };
  let clear = async (): Promise<void> => undefined;
  const makeFolder = async () => {
    const folder = await makeJobFolder(setup.root, setup.ffmpeg.tools.confinement);
    clear = async () => await clearJobFolder(folder);
    return folder;
  };
  const result = await renderTicket(ticket.output, job.id, context, { ...setup, makeFolder });
  try {
    await clear();
    return result;
  } catch (error) {
    context.log('error', 'the job cannot be cleared away: the worker ends', {
      reason: redact(error),
    });
    return { ...result, refreshWorker: true };
  }
}

interface JobSetup extends RendererSetup {
  readonly makeFolder: () => Promise<string>;
}

async function renderTicket(
  ticket: RenderTicket,
  jobId: string,
  context: JobContext,
  setup: JobSetup,
): Promise<JobResult> {
  const { signal, workerId, gpuType, log } = context;
  const patience = { ...PATIENCE, ...setup.timing?.patience };
  // Anew for each delivery: a job that comes twice to one process has two owners.
  const claim = {
    nonce: randomUUID(),
    provider_job_id: jobId,
    worker_id: workerId,
    hardware: gpuType?.slice(0, MAX_LABEL_CHARS) ?? 'cpu',
  };
  const over = new AbortController();
  try {
    const claimed = await claimJob(ticket, claim, claimSignal(signal, over.signal), patience);
    log('info', 'claimed', { epoch: claimed.epoch, source: claimed.source.kind });
    const channel = new Channel(ticket, claimed, log, patience);
    try {
      return await renderClaimed(ticket.token, claimed, channel, context, setup);
    } finally {
      await channel.close();
    }
  } catch (error) {
    if (error instanceof Fenced || error instanceof LeaseLost) return FENCED;
    log('error', 'the job could not be claimed or reported', { reason: redact(error) });
    return { error: error instanceof JobAborted ? error.message : 'the server could not be told' };
  } finally {
    over.abort();
  }
}

/** A process that must end still claims its job: only who has claimed a job can give it back. */
function claimSignal(signal: AbortSignal, over: AbortSignal): AbortSignal {
  return wasStopped(signal) ? signal : abortLater(signal, LAST_WORD_MS, over);
}

async function renderClaimed(
  token: string,
  claimed: Awaited<ReturnType<typeof claimJob>>,
  channel: Channel,
  context: JobContext,
  setup: JobSetup,
): Promise<JobResult> {
  const signal = AbortSignal.any([context.signal, channel.signal]);
  try {
    const manifest = await doWork({
      token,
      claimed,
      folder: await setup.makeFolder(),
      signal,
      ffmpeg: setup.ffmpeg,
      guard: { exempt: setup.sourceHosts ?? [] },
      timing: setup.timing ?? {},
      log: context.log,
      report: (report) => channel.report(report),
    });
    const { key } = claimed.output;
    await channel.complete({ output_video_key: key, manifest });
    return { output: { complete: true, key, size: manifest.size } };
  } catch (error) {
    return await concludeFailure(error, channel, context);
  }
}

async function concludeFailure(
  error: unknown,
  channel: Channel,
  { signal, log }: JobContext,
): Promise<JobResult> {
  const lost = channel.signal.aborted || error instanceof Fenced || error instanceof LeaseLost;
  if (lost || wasStopped(signal)) {
    log('warn', 'stopped', { reason: redact(error) });
    return FENCED;
  }
  const code = codeOf(error, signal);
  const text = redact(error);
  log('warn', 'failed', { code, reason: text });
  const failure = { code, error: text || code, should_retry: FAILURES[code].retry !== 'never' };
  await channel.fail(failure, signal.aborted ? LAST_WORD_MS : undefined);
  return { output: { complete: false, code } };
}

function codeOf(error: unknown, signal: AbortSignal): FailureCode {
  if (signal.aborted) return 'renderer_shutdown';
  if (error instanceof RenderFailure) return error.code;
  if (error instanceof Refused && error.code === 'output_rejected') return 'output_rejected';
  return hasSystemCode(error, 'ENOSPC') ? 'disk_full' : 'renderer_error';
}

function wasStopped({ reason }: AbortSignal): boolean {
  return reason instanceof JobAborted && reason.kind === 'stopped';
}
