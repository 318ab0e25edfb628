import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { locateFfmpeg } from '../renderer/src/ffmpeg/locate.ts';

/** What a case can export. */
export const SOURCES = ['film', 'long film', 'broken'] as const;
export type Sources = Readonly<Record<(typeof SOURCES)[number], Buffer>>;

/**
 * Makes the sources in a folder: a film of half a second, one that takes far longer to render than
 * any case lasts, and one that is no film.
 * @throws when there is no ffmpeg.
 */
export async function makeSources(folder: string): Promise<Sources> {
  const { tools } = await locateFfmpeg();
  const ffmpeg = async (name: string, args: string) => {
    const file = path.join(folder, name);
    const common = ['-v', 'error', '-nostdin', '-y'];
    await promisify(execFile)(tools.ffmpeg, [...common, ...args.split(' '), file], { cwd: folder });
    return await readFile(file);
  };
  const film = async (name: string, seconds: number) => {
    const picture = `-f lavfi -i testsrc2=size=160x90:rate=25:duration=${seconds}`;
    const sound = `-f lavfi -i sine=duration=${seconds}`;
    const codecs = '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac';
    return await ffmpeg(name, `${picture} ${sound} ${codecs}`);
  };
  await film('minute.mp4', 60);
  return {
    film: await film('film.mp4', 0.5),
    'long film': await ffmpeg('long.mp4', '-stream_loop 9 -i minute.mp4 -c copy'),
    broken: Buffer.from('this is not a film\n'.repeat(100)),
  };
}
