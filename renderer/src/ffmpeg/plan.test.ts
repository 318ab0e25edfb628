import { ExportOptions, type ExportOptionsInput } from '@export-jobs/protocol';
import { describe, expect, it } from 'vitest';
import * as v from 'valibot';
import { RenderFailure } from '../failure.ts';
import { planExport, type Abilities } from './plan.ts';
import type { Probe } from './probe.ts';
import { rate } from './rate.ts';

const abilities: Abilities = {
  encoders: {
    h264: ['h264_nvenc', 'libx264'],
    hevc: ['libx265'],
    vp9: ['libvpx-vp9'],
    av1: ['libsvtav1'],
    gif: ['gif'],
    aac: ['aac'],
    opus: ['libopus'],
  },
  canToneMap: true,
};
const film: Probe = {
  format: 'mov,mp4,m4a,3gp,3g2,mj2',
  duration: 10,
  video: {
    index: 0,
    codec: 'h264',
    width: 1920,
    height: 1080,
    frames: 240,
    rate: rate(24),
    lastFrameAt: 10 - 1 / 24,
    interlaced: false,
    hdr: false,
  },
  audio: { index: 1, channels: 6 },
};
const plan = (options: ExportOptionsInput = {}, probe: Probe = film, able = abilities) =>
  planExport(v.parse(ExportOptions, options), probe, able);
const line = (...args: Parameters<typeof plan>) =>
  plan(...args)
    .passes.flat()
    .join(' ');
function codeOf(run: () => unknown): string | undefined {
  try {
    run();
  } catch (error) {
    if (error instanceof RenderFailure) return error.code;
    throw error;
  }
  return undefined;
}

describe('a plan', () => {
  it('keeps the source’s size and rate, and counts its frames', () => {
    expect(plan()).toMatchObject({ width: 1920, height: 1080, fps: 24, frames: 240 });
    expect(plan()).toMatchObject({ durationMs: 10_000, hasAudio: true, codec: 'h264' });
  });

  it('takes the best encoder that works', () => {
    expect(plan().encoder).toBe('h264_nvenc');
    expect(line()).toContain('-cq 23');
  });

  it('maps the default quality to each encoder’s own scale', () => {
    const able = { ...abilities, encoders: { ...abilities.encoders, h264: ['libx264'] } };
    expect(line({}, film, able)).toContain('-crf 23');
    expect(line({ codec: 'hevc' })).toContain('-crf 25');
    expect(line({ codec: 'av1' })).toContain('-crf 34');
    expect(line({ container: 'webm' })).toContain('-crf 29');
    expect(line({ quality: 100 }, film, able)).toContain('-crf 11');
    expect(line({ quality: 1 }, film, able)).toContain('-crf 41');
  });

  it('reads only local files of known kinds, and writes nothing of the source’s metadata', () => {
    const text = line();
    const input = text.indexOf('-i file:input');
    expect(text.indexOf('-protocol_whitelist file,pipe')).toBeLessThan(input);
    expect(text.indexOf('-format_whitelist mov,')).toBeLessThan(input);
    expect(text).not.toMatch(/\b(hls|dash|concat|sdp|image2)\b/);
    expect(text).toContain('-map_metadata -1');
  });

  it('follows the source’s shape when one side is asked, and never enlarges', () => {
    expect(plan({ width: 1280 })).toMatchObject({ width: 1280, height: 720 });
    expect(plan({ height: 360 })).toMatchObject({ width: 640, height: 360 });
    expect(plan({ width: 3840 })).toMatchObject({ width: 1920, height: 1080 });
  });

  it('makes exactly the size asked when both sides are, fitted like CSS object-fit', () => {
    const asked = { width: 1000, height: 1000 };
    expect(plan({ ...asked })).toMatchObject(asked);
    expect(line({ ...asked })).toContain('scale=1000:562:flags=bicubic,setsar=1,pad=1000:1000:');
    const cover = line({ ...asked, fit: 'cover' });
    expect(cover).toContain('scale=1778:1000:flags=bicubic,setsar=1,crop=1000:1000');
    expect(line({ ...asked, fit: 'stretch' })).toContain('scale=1000:1000:flags=bicubic,setsar=1,');
  });

  it('makes sides even, at least 2 and at most what the protocol allows', () => {
    const sized = (width: number, height: number) => ({
      ...film,
      video: { ...film.video, width, height },
    });
    expect(plan({}, sized(321, 181))).toMatchObject({ width: 322, height: 182 });
    expect(plan({}, sized(1, 1))).toMatchObject({ width: 2, height: 2 });
    expect(plan({}, sized(16_384, 4096))).toMatchObject({ width: 8192, height: 2048 });
  });

  it('plans trims on the frame grid', () => {
    const cut = plan({ trim: { start: 1.01, end: 3 }, fps: 29.97 });
    expect(cut.frames).toBe(60);
    expect(cut.passes.flat().join(' ')).toContain('-ss 1.000000');
    expect(cut.passes.flat().join(' ')).toContain('fps=30000/1001');
  });

  it('does not seek in a container without an index, but cuts in the filters', () => {
    const text = line({ trim: { start: 2, end: 3 } }, { ...film, format: 'mpegts' });
    expect(text).not.toContain('-ss');
    expect(text).toContain('setpts=PTS-2/TB');
    expect(text).toContain('asetpts=PTS-2/TB');
  });

  it('refuses a trim beyond the end, and forgives one that was rounded', () => {
    expect(codeOf(() => plan({ trim: { start: 0, end: 11 } }))).toBe('options_invalid');
    expect(codeOf(() => plan({ trim: { start: 10 } }))).toBe('options_invalid');
    expect(plan({ trim: { start: 0, end: 10.05 } }).frames).toBe(240);
  });

  it('leaves the sound out when asked, in a GIF, and when there is none', () => {
    expect(plan({ mute: true }).hasAudio).toBe(false);
    expect(plan({ container: 'gif' }).hasAudio).toBe(false);
    expect(plan({}, { ...film, audio: null }).hasAudio).toBe(false);
    expect(line({ mute: true })).toContain('-an');
  });

  it('gives MP4 and MOV stereo AAC, and WebM Opus', () => {
    expect(line()).toContain('-c:a aac -b:a 160k -ac 2');
    expect(line({ container: 'webm' })).toContain('-c:a libopus -b:a 128k -ac 2');
  });

  it('tags HEVC so that Apple players take it', () => {
    expect(line({ codec: 'hevc' })).toContain('-tag:v hvc1');
    expect(line()).not.toContain('-tag:v');
  });

  it('ends the picture filters with the pixel format that every player has', () => {
    const args = plan().passes[0] ?? [];
    expect(args[args.indexOf('-vf') + 1]).toMatch(/trim=end_frame=240,format=yuv420p$/);
  });

  it('holds a GIF to its limits', () => {
    expect(plan({ container: 'gif' })).toMatchObject({ width: 640, height: 360, fps: 20 });
    const long = { ...film, duration: 31 };
    expect(codeOf(() => plan({ container: 'gif' }, long))).toBe('options_invalid');
    expect(plan({ container: 'gif', trim: { start: 1 } }, long).frames).toBe(600);
  });

  it('says when nothing here makes a format', () => {
    const none = { ...abilities, encoders: { ...abilities.encoders, av1: [], opus: [] } };
    expect(codeOf(() => plan({ codec: 'av1' }, film, none))).toBe('encoder_unavailable');
    expect(codeOf(() => plan({ container: 'webm' }, film, none))).toBe('encoder_unavailable');
    expect(plan({ container: 'webm', mute: true }, film, none).encoder).toBe('libvpx-vp9');
  });

  it('brings HDR to the standard range where ffmpeg can', () => {
    const hdr = { ...film, video: { ...film.video, hdr: true } };
    expect(line({}, hdr)).toContain('tonemap=hable');
    expect(line({}, hdr, { ...abilities, canToneMap: false })).not.toContain('tonemap');
  });
});
