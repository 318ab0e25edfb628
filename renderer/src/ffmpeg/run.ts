import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { ExportOptions } from '@export-jobs/protocol';
import { RenderFailure } from '../failure.ts';
import { isHardware, type Encoders, type FfmpegReport } from './locate.ts';
import { planExport, type Plan } from './plan.ts';
import type { Probe } from './probe.ts';
import type { EncodeProgress } from './progress-lines.ts';
import { superviseEncode } from './supervise.ts';
import { verifyOutput, type VerifiedOutput } from './verify.ts';

export interface RenderOptions {
  readonly ffmpeg: FfmpegReport;
  readonly options: ExportOptions;
  readonly probe: Probe;
  /** Holds the source as `input`, and gets the output. */
  readonly folder: string;
  readonly signal: AbortSignal;
  readonly stallMs?: number;
  readonly deadlineMs?: number;
  /** Called before each encode; a second time when the GPU failed and software takes over. */
  readonly onPlan?: (plan: Plan) => void;
  /** `done` is the part of the whole encode, 0–1; in a GIF's first pass, half of it is to come. */
  readonly onProgress?: (progress: EncodeProgress & { readonly done: number }, plan: Plan) => void;
}

/**
 * Plans, encodes and verifies one export. A hardware encoder that fails is replaced once by its
 * software twin.
 * @throws RenderFailure, or the signal's reason.
 */
export async function renderExport(
  render: RenderOptions,
): Promise<{ plan: Plan; output: VerifiedOutput }> {
  const { ffmpeg, options, probe } = render;
  const plan = planExport(options, probe, ffmpeg);
  try {
    return { plan, output: await encode(plan, render) };
  } catch (error) {
    const isForUs = error instanceof RenderFailure && !render.signal.aborted;
    if (!isForUs || !isHardware(plan.encoder)) throw error;
    const fallback = planExport(options, probe, {
      ...ffmpeg,
      encoders: inSoftware(ffmpeg.encoders),
    });
    await rm(join(render.folder, plan.outputName), { force: true });
    return { plan: fallback, output: await encode(fallback, render) };
  }
}

async function encode(plan: Plan, render: RenderOptions): Promise<VerifiedOutput> {
  const { ffmpeg, folder, signal, stallMs, deadlineMs, onProgress } = render;
  render.onPlan?.(plan);
  for (const [pass, args] of plan.passes.entries()) {
    await superviseEncode({
      tools: ffmpeg.tools,
      args,
      fileBytes: plan.maxBytes,
      folder,
      signal,
      ...(stallMs === undefined ? {} : { stallMs }),
      ...(deadlineMs === undefined ? {} : { deadlineMs }),
      onProgress: (progress) => {
        const ofPass = Math.min(1, progress.frame / plan.frames);
        onProgress?.({ ...progress, done: (pass + ofPass) / plan.passes.length }, plan);
      },
    });
  }
  return await verifyOutput(ffmpeg.tools, plan, folder, signal);
}

function inSoftware(encoders: Encoders): Encoders {
  const soft = (names: readonly string[]) => names.filter((name) => !isHardware(name));
  const { h264, hevc, av1 } = encoders;
  return { ...encoders, h264: soft(h264), hevc: soft(hevc), av1: soft(av1) };
}
