import { join } from 'node:path';
import * as v from 'valibot';
import { RenderFailure } from '../failure.ts';
import { confined, PROBE_BOUNDS } from './confine.ts';
import type { ConfinedTools } from './locate.ts';
import type { Plan } from './plan.ts';
import { runTool } from './process.ts';

/** Where a file is that was found to be exactly what was planned; its duration in ms. */
export interface VerifiedOutput {
  readonly path: string;
  readonly width: number;
  readonly height: number;
  readonly frames: number;
  readonly durationMs: number;
}

const Description = v.object({
  streams: v.array(
    v.object({
      codec_type: v.string(),
      codec_name: v.string(),
      width: v.optional(v.number()),
      height: v.optional(v.number()),
      nb_read_packets: v.optional(v.pipe(v.string(), v.transform(Number))),
    }),
  ),
});

/**
 * Compares the file with its plan, frame for frame: an encoder that says it succeeded may have
 * left out a part.
 * @throws RenderFailure `output_rejected`, saying what differs.
 */
export async function verifyOutput(
  tools: ConfinedTools,
  plan: Plan,
  folder: string,
  signal?: AbortSignal,
): Promise<VerifiedOutput> {
  const lines: string[] = [];
  const what = ['-v', 'error', '-of', 'json', '-count_packets', '-show_streams'];
  const command = [tools.ffprobe, ...what, `file:${plan.outputName}`];
  const run = await confined(tools.confinement, command, folder, PROBE_BOUNDS);
  const { code, stderr } = await runTool(...run, {
    timeoutMs: 120_000,
    cwd: folder,
    onLine: (line) => lines.push(line),
    ...(signal ? { signal } : {}),
  });
  if (code !== 0) {
    throw new RenderFailure('output_rejected', `the output cannot be read: ${stderr.join(' | ')}`);
  }
  const { streams } = v.parse(Description, JSON.parse(lines.join('\n')));
  const video = streams.find((stream) => stream.codec_type === 'video');
  const audio = streams.find((stream) => stream.codec_type === 'audio');
  const seen = describe(
    video?.codec_name,
    video?.width,
    video?.height,
    video?.nb_read_packets,
    !!audio,
  );
  const wanted = describe(plan.codec, plan.width, plan.height, plan.frames, plan.hasAudio);
  if (seen !== wanted) {
    throw new RenderFailure('output_rejected', `planned ${wanted}, the file holds ${seen}`);
  }
  const { width, height, frames, durationMs } = plan;
  return { path: join(folder, plan.outputName), width, height, frames, durationMs };
}

function describe(codec = '?', width = 0, height = 0, frames = 0, hasAudio = false): string {
  return `${codec} ${width}x${height}, ${frames} frames, ${hasAudio ? 'with' : 'without'} sound`;
}
