// The renderer's process: takes renders from RunPod's queue until it is told to end.
import { inspectFfmpeg, isHardware } from './ffmpeg/locate.ts';
import { removeLeftovers, requireSpace, temporaryRoot } from './job-folder.ts';
import { renderJob } from './job.ts';
import { log, serve, shutdownSignal } from './runpod/index.ts';
import type { Timing } from './work.ts';

/** How long an encoder may stand still, ms: `RENDERER_STALL_MS`, else a minute. */
function timingOf(env: Readonly<Record<string, string | undefined>>): Timing {
  const stallMs = Number(env['RENDERER_STALL_MS']);
  return stallMs > 0 ? { stallMs } : {};
}

const shutdown = shutdownSignal();
const root = temporaryRoot(process.env);
const timing = timingOf(process.env);
try {
  await serve(
    async (job, context) =>
      await renderJob(job, context, { ffmpeg: await inspectFfmpeg(), root, timing }),
    { shutdown, fitness: { disk: checkDisk, ffmpeg: checkFfmpeg, gpu: checkGpu } },
  );
  process.exit(0);
} catch (error) {
  log('error', 'the renderer cannot start', {
    reason: error instanceof Error ? error.message : String(error),
  });
  process.exit(1);
}

async function checkDisk(): Promise<void> {
  await removeLeftovers(root);
  await requireSpace(root, 0);
}

async function checkFfmpeg(): Promise<void> {
  const { version, from, encoders, missing } = await inspectFfmpeg();
  log('info', 'ffmpeg inspected', { version, from, encoders, missing });
}

/** Where a GPU is paid for, an export in software is a failure that nobody sees. */
async function checkGpu(): Promise<void> {
  if (process.env['RENDERER_REQUIRE_GPU'] !== '1') return;
  const { encoders } = await inspectFfmpeg();
  if (!encoders.h264.some(isHardware)) throw new Error('no encoder of a GPU works here');
}
