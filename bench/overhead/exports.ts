// Responsible for doing the same export in two ways: through the whole system, and by ffmpeg alone.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createWriteStream, openAsBlob } from 'node:fs';
import { mkdir, rm, symlink } from 'node:fs/promises';
import path from 'node:path';
import { pipeline } from 'node:stream/promises';
import { createClient } from '@export-jobs/client';
import type { ExportOptions } from '@export-jobs/protocol';
import { inspectFfmpeg } from '../../renderer/src/ffmpeg/locate.ts';
import { planExport } from '../../renderer/src/ffmpeg/plan.ts';
import { probeInput } from '../../renderer/src/ffmpeg/probe.ts';
import { toolEnv } from '../../renderer/src/ffmpeg/process.ts';
import { INPUT_NAME } from '../../renderer/src/ffmpeg/untrusted-input.ts';

/** An export that takes longer has failed, ms. */
const PATIENCE_MS = 600_000;

/** What a viewer sees an export do, in this order; `sending` and `fetching` are the client's own. */
export const STAGES = [
  'sending',
  'pending',
  'starting',
  'downloading',
  'rendering',
  'uploading',
  'verifying',
  'fetching',
] as const;
export type Stage = (typeof STAGES)[number];

/**
 * Uploads a file, waits for its export and downloads the result.
 * @returns how long each stage was seen to take, ms.
 */
export async function throughTheSystem(
  baseUrl: string,
  source: string,
  options: ExportOptions,
  output: string,
): Promise<Map<Stage, number>> {
  const signal = AbortSignal.timeout(PATIENCE_MS);
  const client = createClient({ baseUrl });
  const clock = new StageClock();
  clock.enter('sending');
  const file = new File([await openAsBlob(source)], path.basename(source));
  const { job } = await client.createExport(file, options, { signal });
  clock.enter('pending');
  for await (const { job: now, error } of client.watchExport(job.id, { initial: job, signal })) {
    if (error) throw error;
    if (now?.status === 'processing') clock.enter(now.stage);
    if (now?.status === 'error') throw new Error(now.error);
    if (now?.status !== 'complete') continue;
    clock.enter('fetching');
    const response = await fetch(client.downloadUrl(now), { signal });
    if (!response.ok || !response.body)
      throw new Error(`the download was refused with ${response.status}`);
    await pipeline(response.body, createWriteStream(output));
    return clock.stop();
  }
  throw new Error('the export did not end');
}

class StageClock {
  readonly #taken = new Map<Stage, number>();
  #present: Stage | undefined;
  #from = performance.now();

  enter(stage: Stage | undefined): void {
    if (this.#present === stage) return;
    const now = performance.now();
    if (this.#present) {
      this.#taken.set(this.#present, (this.#taken.get(this.#present) ?? 0) + now - this.#from);
    }
    this.#present = stage;
    this.#from = now;
  }

  stop(): Map<Stage, number> {
    this.enter(undefined);
    return this.#taken;
  }
}

/** What the renderer would plan for the source in a folder, with this machine's ffmpeg. */
export async function planOf(folder: string, options: ExportOptions) {
  const ffmpeg = await inspectFfmpeg();
  const plan = planExport(options, await probeInput(ffmpeg.tools, folder), ffmpeg);
  return { ffmpeg, plan };
}
export type Planned = Awaited<ReturnType<typeof planOf>>;

/** Makes a folder in which ffmpeg finds the source under the name that its arguments give it. */
export async function folderFor(folder: string, source: string): Promise<string> {
  await mkdir(folder, { recursive: true });
  await rm(path.join(folder, INPUT_NAME), { force: true });
  await symlink(source, path.join(folder, INPUT_NAME));
  return folder;
}

/** Runs ffmpeg with the renderer's own arguments, but with nobody who watches it. */
export async function byFfmpegAlone({ ffmpeg, plan }: Planned, folder: string): Promise<void> {
  for (const args of plan.passes) {
    // Detached as the renderer's is: Linux shares a busy machine out between sessions.
    const child = spawn(
      ffmpeg.tools.ffmpeg,
      ['-hide_banner', '-nostdin', '-v', 'warning', ...args],
      { cwd: folder, env: toolEnv(), stdio: 'ignore', detached: true, timeout: PATIENCE_MS },
    );
    await once(child, 'exit');
    if (child.exitCode !== 0) throw new Error(`ffmpeg ended with ${child.exitCode}`);
  }
}
