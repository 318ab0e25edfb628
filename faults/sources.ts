import { writeFile } from 'node:fs/promises';
import path from 'node:path';
import { ffmpeg } from '../e2e/support/media.ts';
import type { Source } from './client.ts';
import type { JobPlan } from './plan.ts';

export type Sources = Readonly<Record<JobPlan['source'], Source>>;

const FPS = 24;

/** Makes the films that are exported: seconds of work, or none at all. */
export async function makeSources(folder: string): Promise<Sources> {
  return {
    short: await film(path.join(folder, 'short.mp4'), 1.5, '160x90'),
    long: await film(path.join(folder, 'long.mp4'), 5, '320x180'),
    broken: await broken(path.join(folder, 'broken.mp4')),
  };
}

async function film(file: string, seconds: number, size: string): Promise<Source> {
  const picture = ['-f', 'lavfi', '-i', `testsrc2=size=${size}:rate=${FPS}:duration=${seconds}`];
  const sound = ['-f', 'lavfi', '-i', `sine=frequency=440:duration=${seconds}`];
  const codecs = ['-c:v', 'libx264', '-preset', 'ultrafast', '-pix_fmt', 'yuv420p', '-c:a', 'aac'];
  await ffmpeg(...picture, ...sound, ...codecs, file);
  return { path: file, frames: seconds * FPS };
}

async function broken(file: string): Promise<Source> {
  await writeFile(file, 'this is not a film\n'.repeat(100));
  return { path: file, frames: null };
}
