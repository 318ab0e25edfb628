// Responsible for the work between claim and completion: download, probe, encode, upload, with
// honest progress on the way. Must not talk to the server about the job: that is job.ts.
import { join } from 'node:path';
import type { ClaimReply, OutputManifest, Stage } from '@export-jobs/protocol';
import type { Report } from './callbacks.ts';
import { fetchSource } from './fetch-source.ts';
import { endTools } from './ffmpeg/confine.ts';
import { guessSeconds } from './ffmpeg/encoder-settings.ts';
import type { FfmpegReport } from './ffmpeg/locate.ts';
import type { Plan } from './ffmpeg/plan.ts';
import { probeInput, type Probe } from './ffmpeg/probe.ts';
import type { EncodeProgress } from './ffmpeg/progress-lines.ts';
import { renderExport } from './ffmpeg/run.ts';
import { INPUT_NAME } from './ffmpeg/untrusted-input.ts';
import type { VerifiedOutput } from './ffmpeg/verify.ts';
import { digestOf } from './file-digest.ts';
import { openOutput, type OutputFile } from './output-file.ts';
import { ProgressMeter, type WorkStage } from './progress.ts';
import { putOutput } from './put-output.ts';
import type { Log } from './runpod/log.ts';
import { foreignOrigin } from './source/foreign-origin.ts';
import type { Guard } from './source/guarded-get.ts';
import { ownOrigin } from './source/own-origin.ts';

/** Times that tests shorten, ms. */
export interface Timing {
  readonly stallMs?: number;
  readonly deadlineMs?: number;
  readonly retryMs?: number;
}

export interface Work {
  readonly token: string;
  readonly claimed: ClaimReply;
  readonly folder: string;
  readonly ffmpeg: FfmpegReport;
  /** What may be asked for sources of other servers. */
  readonly guard: Guard;
  readonly signal: AbortSignal;
  readonly timing: Timing;
  readonly log: Log;
  readonly report: (report: Report) => void;
}

// Guesses until something was measured: bytes a second on the network; and how many bytes of an
// unknown source take a second to render.
const NETWORK_RATE = 20e6;
const SOURCE_RATE = 1e6;
/** The size of a source whose server has not told it yet, bytes. */
const SOURCE_SIZE = 50e6;

/** How many times longer than guessed each encoder took, the last time in this process. */
const slowness = new Map<string, number>();

/**
 * Does the work of a claimed job.
 * @returns what was stored.
 * @throws RenderFailure, Fenced, or the signal's reason.
 */
export async function doWork(work: Work): Promise<OutputManifest> {
  const { folder, signal, ffmpeg, log } = work;
  const progress = new WorkProgress(work);
  await download(work, progress);
  const probe = await probeInput(ffmpeg.tools, folder, signal);
  const { plan, output } = await render(work, progress, probe);
  // Nobody may be left to change what is sent, and nothing else can come in its place.
  await endTools(folder);
  const file = await openOutput(output.path);
  try {
    log('info', 'rendered', { encoder: plan.encoder, frames: output.frames, bytes: file.size });
    const manifest = await upload(work, progress, output, file);
    progress.move('verifying', 0);
    return manifest;
  } finally {
    await file.handle.close();
  }
}

async function download(work: Work, progress: WorkProgress): Promise<void> {
  const { source } = work.claimed;
  const startedAt = Date.now();
  progress.move('downloading', 0);
  await fetchSource({
    // Our token is for our own server alone.
    origin:
      source.kind === 'upload' ? ownOrigin(source, work.token) : foreignOrigin(source, work.guard),
    path: join(work.folder, INPUT_NAME),
    signal: work.signal,
    ...retries(work),
    onBytes: (bytes, total) => {
      const all = total ?? Math.max(SOURCE_SIZE, 2 * bytes);
      const seconds = (Date.now() - startedAt) / 1000;
      if (seconds > 0.5) progress.expect('downloading', (all * seconds) / bytes);
      progress.move('downloading', bytes / all);
    },
  });
}

async function render(work: Work, progress: WorkProgress, probe: Probe) {
  const { ffmpeg, folder, signal, timing, claimed, log } = work;
  progress.move('rendering', 0);
  let startedAt = Date.now();
  const rendered = await renderExport({
    ...timing,
    ffmpeg,
    folder,
    signal,
    probe,
    options: claimed.options,
    onPlan: (plan) => {
      startedAt = Date.now();
      const { encoder, frames, width, height } = plan;
      progress.expect('rendering', guessOf(plan, probe) * (slowness.get(encoder) ?? 1));
      progress.planned((frames * width * height) / 1e6);
      log('info', 'rendering', { encoder, frames, width, height });
    },
    onProgress: (seen) => progress.encoded(seen, Date.now() - startedAt),
  });
  const { plan } = rendered;
  slowness.set(plan.encoder, (Date.now() - startedAt) / 1000 / guessOf(plan, probe));
  return rendered;
}

function guessOf(plan: Plan, { video, duration }: Probe): number {
  const read = (video.frames * plan.durationMs) / 1000 / duration;
  const readPixels = read * video.width * video.height;
  return guessSeconds(plan.encoder, readPixels, plan.frames * plan.width * plan.height);
}

async function upload(
  work: Work,
  progress: WorkProgress,
  { width, height, frames, durationMs }: VerifiedOutput,
  file: OutputFile,
): Promise<OutputManifest> {
  const { size } = file;
  progress.expect('uploading', size / NETWORK_RATE + 0.1);
  progress.move('uploading', 0);
  const { output } = work.claimed;
  const digest = await digestOf(file, output.parts?.size ?? size, work.signal);
  const { sha256 } = digest;
  const manifest = { size, sha256, width, height, duration_ms: durationMs, frames };
  await putOutput({
    output,
    token: work.token,
    file,
    manifest,
    digest,
    signal: work.signal,
    ...retries(work),
    onBytes: (bytes) => progress.move('uploading', bytes / size),
  });
  return manifest;
}

function retries({ timing: { retryMs } }: Work): { retryMs?: number } {
  return retryMs === undefined ? {} : { retryMs };
}

/** Turns what each stage says into reports. */
class WorkProgress {
  readonly #report: Work['report'];
  readonly #meter: ProgressMeter;
  #megapixels: number | undefined;

  constructor({ claimed, report }: Work) {
    const { source } = claimed;
    const size = source.kind === 'upload' ? source.size : SOURCE_SIZE;
    this.#report = report;
    this.#meter = new ProgressMeter(
      {
        downloading: size / NETWORK_RATE + 0.1,
        rendering: size / SOURCE_RATE + 1,
        uploading: size / 2 / NETWORK_RATE + 0.1,
        verifying: 0.1,
      },
      Date.now(),
    );
  }

  expect(stage: WorkStage, seconds: number): void {
    this.#meter.expect(stage, seconds);
  }

  /** Says how much there is to make, so that it can be compared with other exports. */
  planned(megapixels: number): void {
    this.#megapixels = megapixels;
    this.move('rendering', 0);
  }

  move(
    stage: WorkStage & Stage,
    fraction: number,
    speeds: Pick<Report, 'fps' | 'speed'> = {},
  ): void {
    const now = Date.now();
    this.#meter.advance(stage, fraction, now);
    const eta = this.#meter.eta(now);
    const progress = Math.floor(this.#meter.percent * 10) / 10;
    this.#report({
      stage,
      progress,
      ...speeds,
      ...(eta === undefined ? {} : { eta_ms: eta }),
      ...(this.#megapixels === undefined ? {} : { megapixels: this.#megapixels }),
    });
  }

  encoded(seen: EncodeProgress & { readonly done: number }, elapsedMs: number): void {
    const { done, fps, speed, size = 0 } = seen;
    if (elapsedMs > 2000 && done > 0.02) {
      this.#meter.expect('rendering', elapsedMs / 1000 / done);
    }
    if (done > 0.02) this.#meter.expect('uploading', size / done / NETWORK_RATE + 0.1);
    this.move('rendering', done, {
      ...(fps === undefined ? {} : { fps }),
      ...(speed === undefined ? {} : { speed }),
    });
  }
}
