import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { inspectFfmpeg, isHardware, locateFfmpeg } from './locate.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'locate-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

async function program(name: string, script: string): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, `#!/bin/sh\n${script}\n`);
  await chmod(path, 0o755);
  return path;
}

describe('finding ffmpeg', () => {
  it('takes FFMPEG_PATH first, with ffprobe beside it', async () => {
    const ffmpeg = await program('ffmpeg', 'exit 0');
    const ffprobe = await program('ffprobe', 'exit 0');
    const env = { FFMPEG_PATH: ffmpeg, PATH: process.env['PATH'] };
    expect(await locateFfmpeg(env)).toEqual({ tools: { ffmpeg, ffprobe }, from: 'FFMPEG_PATH' });
  });

  it('does not quietly take another one when FFMPEG_PATH is wrong', async () => {
    const env = { FFMPEG_PATH: join(folder, 'none'), PATH: process.env['PATH'] };
    await expect(locateFfmpeg(env)).rejects.toThrow('FFMPEG_PATH is set, but');
  });

  it('takes the one in PATH next', async () => {
    const ffmpeg = await program('ffmpeg', 'exit 0');
    const ffprobe = await program('ffprobe', 'exit 0');
    expect(await locateFfmpeg({ PATH: `/nowhere:${folder}` })).toEqual({
      tools: { ffmpeg, ffprobe },
      from: 'PATH',
    });
  });
});

describe('inspecting ffmpeg', () => {
  it('counts an encoder only when it encodes, and goes on to the next', async () => {
    await program('ffprobe', 'echo "ffprobe version 9.9"');
    const ffmpeg = await program(
      'ffmpeg',
      'case "$*" in -version) echo "ffmpeg version 9.9 Copyright";; *_nvenc*|*opus*|*zscale*) exit 1;; esac',
    );
    const report = await inspectFfmpeg({ FFMPEG_PATH: ffmpeg });
    expect(report).toMatchObject({ version: '9.9', from: 'FFMPEG_PATH', canToneMap: false });
    expect(report.encoders.h264).toEqual(['libx264']);
    expect(report.missing).toEqual(['opus']);
  });

  it('keeps a software encoder in reserve behind a hardware one', async () => {
    await program('ffprobe', 'echo "ffprobe version 9.9"');
    const ffmpeg = await program('ffmpeg', 'echo "ffmpeg version 9.9"');
    const { encoders } = await inspectFfmpeg({ FFMPEG_PATH: ffmpeg });
    expect(encoders.h264).toEqual(['h264_nvenc', 'libx264']);
    expect(encoders.av1).toEqual(['av1_nvenc', 'libsvtav1']);
    expect(encoders.h264.map(isHardware)).toEqual([true, false]);
  });

  it('says when the program does not run', async () => {
    await program('ffprobe', 'exit 0');
    const ffmpeg = await program('ffmpeg', 'exit 127');
    await expect(inspectFfmpeg({ FFMPEG_PATH: ffmpeg })).rejects.toThrow('does not run');
  });
});
