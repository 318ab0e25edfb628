import { execFile } from 'node:child_process';
import { copyFile, mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import {
  CODECS_OF,
  CONTAINERS,
  ExportOptions,
  type ExportOptionsInput,
} from '@export-jobs/protocol';
import * as v from 'valibot';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { RenderFailure } from '../src/failure.ts';
import { probeInput } from '../src/ffmpeg/probe.ts';
import { renderExport } from '../src/ffmpeg/run.ts';
import { ffmpeg, FILM, PICTURE_AND_TONE, Studio } from './media.ts';

const run = promisify(execFile);
const Seen = v.object({
  streams: v.array(
    v.looseObject({
      codec_type: v.string(),
      codec_name: v.string(),
      width: v.optional(v.number()),
      height: v.optional(v.number()),
      nb_read_frames: v.optional(v.pipe(v.string(), v.transform(Number))),
      r_frame_rate: v.string(),
      pix_fmt: v.optional(v.string()),
      sample_aspect_ratio: v.optional(v.string()),
      codec_tag_string: v.optional(v.string()),
      duration: v.optional(v.pipe(v.string(), v.transform(Number))),
    }),
  ),
});

let studio: Studio;
beforeAll(async () => {
  studio = await Studio.open();
});
afterAll(async () => {
  await studio.close();
});

/** Decodes the whole file with ffprobe, which the renderer's own check does not. */
async function look(path: string) {
  const args = ['-v', 'error', '-of', 'json', '-count_frames', '-show_streams', path];
  const { stdout, stderr } = await run(ffmpeg?.tools.ffprobe ?? '', args);
  expect(stderr).toBe('');
  const { streams } = v.parse(Seen, JSON.parse(stdout));
  return {
    video: streams.find((stream) => stream.codec_type === 'video'),
    audio: streams.find((stream) => stream.codec_type === 'audio'),
  };
}

async function exportFile(source: string, options: ExportOptionsInput = {}) {
  if (!ffmpeg) throw new Error('there is no ffmpeg here');
  const folder = await studio.jobFolder(source);
  const probe = await probeInput(ffmpeg.tools, folder);
  const { plan, output } = await renderExport({
    ffmpeg,
    options: v.parse(ExportOptions, options),
    probe,
    folder,
    signal: AbortSignal.timeout(120_000),
  });
  return { probe, plan, output, seen: await look(output.path) };
}

async function refusal(source: string, options: ExportOptionsInput = {}) {
  const error: unknown = await exportFile(source, options).catch((reason: unknown) => reason);
  return error instanceof RenderFailure ? error.code : error;
}

const CHOICES = CONTAINERS.flatMap((container) =>
  CODECS_OF[container].map((codec) => ({ container, codec })),
);

describe.skipIf(!ffmpeg)(
  'an export (skipped where there is no ffmpeg)',
  { timeout: 180_000 },
  () => {
    it.each(CHOICES)('of $container $codec has exactly the planned frames', async (options) => {
      const source = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
      const { seen, plan } = await exportFile(source, options);
      expect(plan.frames).toBe(25);
      expect(seen.video).toMatchObject({
        nb_read_frames: 25,
        width: 320,
        height: 180,
        codec_name: options.codec,
        pix_fmt: 'yuv420p',
      });
      expect(seen.audio?.codec_name).toBe(options.container === 'webm' ? 'opus' : 'aac');
      expect(seen.video?.codec_tag_string === 'hvc1').toBe(options.codec === 'hevc');
    });

    it.each([
      ['mp4', 1.99],
      ['mkv', 1.99],
      ['ts', 1.99],
      ['mp4', 1.9999],
    ])(
      'of the very last moment of a film is its last picture (%s, from %d s)',
      async (type, start) => {
        const film = await studio.make(`last.${type}`, PICTURE_AND_TONE(2));
        const { plan, seen } = await exportFile(film, { trim: { start } });
        expect(seen.video?.nb_read_frames).toBe(plan.frames);
      },
    );

    it.each(['mp4', 'mkv', 'ts'])(
      'that begins where only the sound goes on shows the last picture (%s)',
      async (type) => {
        const film = await studio.make(
          `long-tail.${type}`,
          '-f lavfi -i testsrc2=s=320x180:r=25:d=1 -f lavfi -i sine=d=3 ' +
            '-c:v libx264 -preset ultrafast -pix_fmt yuv420p -c:a aac',
        );
        const { plan, seen } = await exportFile(film, { trim: { start: 2, end: 2.5 } });
        expect(plan.frames).toBe(13);
        expect(seen.video?.nb_read_frames).toBe(13);
        expect(seen.audio?.duration).toBeCloseTo(0.52, 1);
      },
    );

    it('as a GIF has exactly the planned frames, and no sound', async () => {
      const source = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
      const { seen, plan } = await exportFile(source, { container: 'gif' });
      expect(plan.frames).toBe(20);
      expect(seen.video).toMatchObject({ nb_read_frames: 20, width: 320, codec_name: 'gif' });
      expect(seen.audio).toBeUndefined();
    });

    it('of a real film, trimmed and made smaller, is exact and starts where it should', async () => {
      const trim = { start: 1.5, end: 3 };
      const { seen, output } = await exportFile(FILM, { width: 320, trim });
      expect(seen.video).toMatchObject({ nb_read_frames: 36, width: 320, height: 180 });
      expect(seen.audio?.duration).toBeCloseTo(1.5, 1);
      const moov = (await readFile(output.path)).subarray(0, 64).toString('latin1');
      expect(moov).toContain('moov');
    });

    it('begins with the very frame that is on screen at the start of the trim', async () => {
      const source = await studio.make(
        'greys.mkv',
        '-f lavfi -i color=black:s=64x64:r=25:d=2,geq=lum=16+4*N:cb=128:cr=128 -c:v ffv1',
      );
      const { output } = await exportFile(source, { trim: { start: 1.013, end: 1.4 } });
      const args = ['-v', 'error', '-i', output.path, '-frames:v', '1', '-f', 'rawvideo', '-'];
      const { stdout } = await run(ffmpeg?.tools.ffmpeg ?? '', args, { encoding: 'buffer' });
      expect(Math.abs((stdout[0] ?? 0) - (16 + 4 * 25))).toBeLessThanOrEqual(2);
    });

    it.each([24, 29.97, 60, 10])('at %d frames a second has that constant rate', async (fps) => {
      const source = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
      const { seen, plan } = await exportFile(source, { fps });
      expect(seen.video?.nb_read_frames).toBe(Math.round(fps));
      const [num = 0, den = 1] = (seen.video?.r_frame_rate ?? '').split('/').map(Number);
      expect(num / den).toBeCloseTo(plan.fps, 2);
    });

    it('of a source with changing steps between frames keeps its whole length', async () => {
      const source = await studio.make(
        'vfr.mkv',
        '-f lavfi -i testsrc2=s=320x180:r=30:d=2 -vf select=not(between(n\\,20\\,45)) -vsync 0 -c:v libx264 -preset ultrafast',
      );
      const { seen, probe } = await exportFile(source);
      expect(probe.video.frames).toBe(34);
      expect(probe.video.rate.value).toBe(30);
      expect(seen.video?.nb_read_frames).toBe(60);
    });

    it('of a turned video is upright', async () => {
      const plain = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
      const modern = await studio
        .make('turned.mp4', `-display_rotation 90 -i ${plain} -c copy`)
        .catch(() => undefined);
      const turned =
        modern ?? (await studio.make('turned.mov', `-i ${plain} -c copy -metadata:s:v rotate=90`));
      const { seen } = await exportFile(turned);
      expect([seen.video?.width, seen.video?.height]).toEqual([180, 320]);
    });

    it('of a video with wide pixels has square ones', async () => {
      const source = await studio.make(
        'wide.mp4',
        '-f lavfi -i testsrc2=s=160x180:r=25:d=0.4 -vf setsar=2 -c:v libx264 -preset ultrafast',
      );
      const { seen } = await exportFile(source);
      expect(seen.video).toMatchObject({ width: 320, height: 180, sample_aspect_ratio: '1:1' });
    });

    it('of odd and of tiny pictures has even sides', async () => {
      const odd = await studio.make(
        'odd.mkv',
        '-f lavfi -i testsrc2=s=320x180:r=25:d=0.4 -vf format=yuv444p,scale=321:181 -c:v ffv1',
      );
      expect((await exportFile(odd)).seen.video).toMatchObject({ width: 322, height: 182 });
      const tiny = await studio.make(
        'tiny.mkv',
        '-f lavfi -i testsrc2=s=16x16:r=25:d=0.2 -c:v ffv1',
      );
      expect((await exportFile(tiny)).seen.video).toMatchObject({ width: 16, nb_read_frames: 5 });
    });

    it('of a song-like file with cover art takes the film and not the cover', async () => {
      const plain = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
      const cover = await studio.make('cover.png', '-f lavfi -i color=red:s=64x64 -frames:v 1');
      const source = await studio.make(
        'covered.mp4',
        `-i ${cover} -i ${plain} -map 0 -map 1 -c copy -disposition:v:0 attached_pic`,
      );
      const { seen } = await exportFile(source);
      expect(seen.video).toMatchObject({ width: 320, nb_read_frames: 25 });
    });

    it('of a silent video is silent, and so is a muted one', async () => {
      const silent = await studio.make(
        'silent.mp4',
        '-f lavfi -i testsrc2=s=320x180:r=25:d=0.4 -c:v libx264 -preset ultrafast',
      );
      expect((await exportFile(silent)).seen.audio).toBeUndefined();
      const plain = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
      expect((await exportFile(plain, { mute: true })).seen.audio).toBeUndefined();
    });

    it('holds the last picture where the sound goes on', async () => {
      const source = await studio.make(
        'outlasting.mkv',
        '-f lavfi -i testsrc2=s=320x180:r=25:d=0.5 -f lavfi -i sine=d=1.6 -c:v libx264 -preset ultrafast -c:a pcm_s16le',
      );
      const { seen } = await exportFile(source);
      expect(seen.video?.nb_read_frames).toBe(40);
      expect(seen.audio?.duration).toBeCloseTo(1.6, 1);
    });

    it('of a transport stream, which cannot be searched, is trimmed exactly', async () => {
      const source = await studio.make('stream.ts', `${PICTURE_AND_TONE(2)} -g 50`);
      const { seen } = await exportFile(source, { trim: { start: 1, end: 1.6 } });
      expect(seen.video?.nb_read_frames).toBe(15);
      expect(seen.audio?.duration).toBeCloseTo(0.6, 1);
    });

    it.each(['contain', 'cover', 'stretch'] as const)(
      'fits by %s into what was asked',
      async (fit) => {
        const source = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
        const { seen, output } = await exportFile(source, { width: 200, height: 200, fit });
        expect(seen.video).toMatchObject({ width: 200, height: 200 });
        const args = ['-v', 'error', '-i', output.path, '-frames:v', '1', '-f', 'rawvideo', '-'];
        const { stdout } = await run(ffmpeg?.tools.ffmpeg ?? '', args, { encoding: 'buffer' });
        const topRow = stdout.subarray(0, 200);
        expect(topRow.every((luma) => luma <= 18)).toBe(fit === 'contain');
      },
    );

    it('of a long hold at one frame in ten seconds lasts as long as its source', async () => {
      const source = await studio.make(
        'slow.mkv',
        '-f lavfi -i testsrc2=s=64x64:r=1/4:d=8 -c:v ffv1',
      );
      expect((await exportFile(source)).seen.video?.nb_read_frames).toBe(8);
    });

    it.skipIf(!ffmpeg?.canToneMap)('of an HDR source is in the standard range', async () => {
      const source = await studio.make(
        'hdr.mp4',
        '-f lavfi -i testsrc2=s=320x180:r=25:d=0.2 -vf format=yuv420p10 -c:v libx265 -preset ultrafast -x265-params log-level=error:colorprim=bt2020:transfer=smpte2084:colormatrix=bt2020nc',
      );
      const { seen, probe } = await exportFile(source);
      expect(probe.video.hdr).toBe(true);
      expect(seen.video).toMatchObject({ pix_fmt: 'yuv420p', color_transfer: 'bt709' });
    });

    it('falls back to software when the GPU’s encoder cannot be opened', async () => {
      if (!ffmpeg) throw new Error('there is no ffmpeg here');
      const folder = await studio.jobFolder(await studio.make('plain.mp4', PICTURE_AND_TONE(1)));
      const encoders = { ...ffmpeg.encoders, h264: ['h264_nvenc', ...ffmpeg.encoders.h264] };
      const tried: string[] = [];
      const { plan } = await renderExport({
        ffmpeg: { ...ffmpeg, encoders },
        options: v.parse(ExportOptions, {}),
        probe: await probeInput(ffmpeg.tools, folder),
        folder,
        signal: AbortSignal.timeout(120_000),
        onPlan: ({ encoder }) => tried.push(encoder),
      });
      expect(tried).toEqual(['h264_nvenc', 'libx264']);
      expect(plan.encoder).toBe('libx264');
    });
  },
);

describe.skipIf(!ffmpeg)('a source that cannot be exported', { timeout: 180_000 }, () => {
  it('is empty', async () => {
    await writeFile(join(studio.root, 'empty.mp4'), '');
    expect(await refusal(join(studio.root, 'empty.mp4'))).toBe('input_empty');
  });

  it('is text with a video’s name', async () => {
    await writeFile(join(studio.root, 'text.mp4'), 'dear diary, '.repeat(500));
    expect(await refusal(join(studio.root, 'text.mp4'))).toBe('input_invalid');
  });

  it('was cut off in the middle, with its index in front or behind', async () => {
    const front = await studio.make('front.mp4', `${PICTURE_AND_TONE(2)} -movflags +faststart`);
    const behind = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
    for (const path of [front, behind]) {
      const bytes = await readFile(path);
      await writeFile(`${path}.cut`, bytes.subarray(0, bytes.length * 0.6));
      expect(await refusal(`${path}.cut`)).toBe('input_damaged');
    }
  });

  it('has sound alone', async () => {
    const sound = await studio.make('sound.m4a', '-f lavfi -i sine=d=0.5 -c:a aac');
    expect(await refusal(sound)).toBe('input_no_video');
  });

  it('is a playlist that points at local files', async () => {
    const plain = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
    const lists = {
      'hls.mp4': `#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:1,\nfile://${plain}\n#EXT-X-ENDLIST\n`,
      'concat.mp4': `ffconcat version 1.0\nfile ${plain}\n`,
    };
    await mkdir(join(studio.root, 'lists'));
    for (const [name, text] of Object.entries(lists)) {
      const path = join(studio.root, 'lists', name);
      await writeFile(path, text);
      expect(await refusal(path)).toBe('input_unsupported');
    }
  });

  it('is a still picture', async () => {
    const still = await studio.make('cover.png', '-f lavfi -i color=red:s=64x64 -frames:v 1');
    await copyFile(still, join(studio.root, 'still.mp4'));
    expect(await refusal(join(studio.root, 'still.mp4'))).toBe('input_unsupported');
  });

  it('is shorter than the trim that was asked', async () => {
    const plain = await studio.make('plain.mp4', PICTURE_AND_TONE(1));
    expect(await refusal(plain, { trim: { start: 0, end: 2 } })).toBe('options_invalid');
  });
});
