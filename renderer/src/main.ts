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

/** `RENDERER_SOURCE_HOSTS`: as `SOURCE_HOSTS` of the server, which this machine need not trust. */
function sourceHostsOf(env: Readonly<Record<string, string | undefined>>): string[] {
  const hosts = (env['RENDERER_SOURCE_HOSTS'] ?? '').split(',').map((host) => host.trim());
  return hosts.filter((host) => host !== '');
}

const shutdown = shutdownSignal();
const root = temporaryRoot(process.env);
const timing = timingOf(process.env);
const sourceHosts = sourceHostsOf(process.env);
if (sourceHosts.length > 0)
  log('warn', 'sources may be read from these hosts too', { sourceHosts });
try {
  await serve(
    async (job, context) =>
      await renderJob(job, context, { ffmpeg: await inspectFfmpeg(), root, sourceHosts, timing }),
    {
      shutdown,
      fitness: {
        disk: checkDisk,
        ffmpeg: checkFfmpeg,
        confinement: checkConfinement,
        gpu: checkGpu,
      },
    },
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

/** A stranger's file must not find our secrets and a way to send them. */
async function checkConfinement(): Promise<void> {
  const { offline, asOther, inFolder } = (await inspectFfmpeg()).tools.confinement;
  const held = { offline: offline.length > 0, other: asOther, folder: inFolder };
  if (Object.values(held).includes(false)) {
    log('warn', 'ffmpeg cannot be confined as it could be', held);
  }
  const isRequired = process.env['RENDERER_REQUIRE_CONFINED'] === '1';
  if (!isRequired || (held.offline && held.other)) return;
  const missing = held.offline ? 'as another user' : 'without a network';
  throw new Error(`ffmpeg cannot be run ${missing} here (RENDERER_REQUIRE_CONFINED)`);
}

/** Where a GPU is paid for, an export in software is a failure that nobody sees. */
async function checkGpu(): Promise<void> {
  if (process.env['RENDERER_REQUIRE_GPU'] !== '1') return;
  const { encoders } = await inspectFfmpeg();
  if (!encoders.h264.some(isHardware)) throw new Error('no encoder of a GPU works here');
}
