// The renderer's process: takes renders from RunPod's queue until it is told to end.
import { inspectFfmpeg } from './ffmpeg/locate.ts';
import { removeLeftovers, temporaryRoot } from './job-folder.ts';
import { renderJob } from './job.ts';
import { log } from './runpod/log.ts';
import { serve, shutdownSignal } from './runpod/worker.ts';
import type { Timing } from './work.ts';

/** How long an encoder may stand still, ms: `RENDERER_STALL_MS`, else a minute. */
function timingOf(env: Readonly<Record<string, string | undefined>>): Timing {
  const stallMs = Number(env['RENDERER_STALL_MS']);
  return stallMs > 0 ? { stallMs } : {};
}

const shutdown = shutdownSignal();
// Until the first job can be taken there is nothing to finish.
const leave = () => process.exit(0);
shutdown.addEventListener('abort', leave);
try {
  const root = temporaryRoot(process.env);
  await removeLeftovers(root);
  const ffmpeg = await inspectFfmpeg();
  const { version, from, encoders, missing } = ffmpeg;
  log('info', 'ffmpeg inspected', { version, from, encoders, missing });
  shutdown.removeEventListener('abort', leave);
  const setup = { ffmpeg, root, timing: timingOf(process.env) };
  await serve((job, context) => renderJob(job, context, setup), { shutdown });
  process.exit(0);
} catch (error) {
  log('error', 'the renderer cannot start', {
    reason: error instanceof Error ? error.message : String(error),
  });
  process.exit(1);
}
