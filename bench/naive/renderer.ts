// The renderer that the contract describes: progress, then complete or error. It takes its jobs from
// RunPod's queue like the real one, with the same ffmpeg, and tries each call three times.
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { locateFfmpeg } from '../../renderer/src/ffmpeg/locate.ts';
import {
  serve,
  shutdownSignal,
  type Job,
  type JobResult,
} from '../../renderer/src/runpod/index.ts';

const execute = promisify(execFile);
const TRIES = 3;
const ENCODE_TIMEOUT_MS = 20_000;

const Ticket = v.object({
  job_id: v.string(),
  attempt: v.number(),
  container: v.picklist(['mp4', 'webm']),
  callback_url: v.string(),
  source_url: v.string(),
  output_url: v.string(),
});

const { tools } = await locateFfmpeg();
await serve(async (job) => await render(job), { shutdown: shutdownSignal() });
process.exit(0);

async function render(job: Job): Promise<JobResult> {
  const ticket = v.parse(Ticket, job.input);
  const folder = await mkdtemp(path.join(process.env['RENDERER_TMP'] ?? tmpdir(), 'naive-'));
  const say = async (name: string, body: object) =>
    await call(`${ticket.callback_url}/${name}`, 'POST', JSON.stringify(body));
  try {
    await say('progress', { progress: 0, message: 'Starting' });
    const input = path.join(folder, 'input');
    await writeFile(input, await call(ticket.source_url, 'GET'));
    await say('progress', { progress: 10, message: 'Processing...' });
    const output = path.join(folder, `output.${ticket.container}`);
    await encode(input, output, folder);
    await say('progress', { progress: 50, message: 'Uploading' });
    const key = `${ticket.job_id}.${ticket.container}`;
    await call(`${ticket.output_url}/${key}`, 'PUT', await readFile(output));
    await say('progress', { progress: 99, message: 'Finishing' });
    await say('complete', { output_video_key: key });
    return { output: { key } };
  } catch (error) {
    await say('error', { error: String(error), should_retry: true }).catch(() => undefined);
    return { error: String(error) };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

async function encode(input: string, output: string, folder: string): Promise<void> {
  const codec = output.endsWith('webm')
    ? ['-c:v', 'libvpx-vp9', '-deadline', 'realtime', '-cpu-used', '4', '-c:a', 'libopus']
    : ['-c:v', 'libx264', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
  const args = ['-v', 'error', '-nostdin', '-y', '-i', input, ...codec, output];
  const limit = { timeout: ENCODE_TIMEOUT_MS, killSignal: 'SIGKILL' } as const;
  await execute(tools.ffmpeg, args, { cwd: folder, ...limit });
}

async function call(url: string, method: string, body?: string | Buffer): Promise<Buffer> {
  for (let tries = 1; ; tries += 1) {
    try {
      const response = await fetch(url, {
        method,
        signal: AbortSignal.timeout(10_000),
        ...(body === undefined
          ? {}
          : { body: typeof body === 'string' ? body : new Uint8Array(body) }),
        headers: { 'content-type': 'application/json' },
      });
      if (!response.ok) throw new Error(`${url} answered ${response.status}`);
      return Buffer.from(await response.arrayBuffer());
    } catch (error) {
      if (tries >= TRIES) throw error;
      await sleep(500 * tries);
    }
  }
}
