import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { CONTAINERS, ExportOptions, codecOf } from './options.ts';

const accepts = (options: unknown) => v.safeParse(ExportOptions, options).success;

describe('export options', () => {
  it('are complete from nothing', () => {
    expect(v.parse(ExportOptions, {})).toEqual({
      container: 'mp4',
      fit: 'contain',
      quality: 60,
      mute: false,
    });
    expect(CONTAINERS.map((container) => codecOf({ container }))).toEqual([
      'h264',
      'vp9',
      'h264',
      null,
    ]);
  });

  it.each([
    { container: 'webm', codec: 'h264' },
    { container: 'mov', codec: 'av1' },
    { container: 'gif', codec: 'h264' },
    { container: 'gif', fps: 30 },
    { container: 'gif', width: 1280 },
    { width: 101 },
    { height: 0 },
    { height: 9000 },
    { fps: 0 },
    { fps: Infinity },
    { quality: 0 },
    { quality: 50.5 },
    { trim: { start: 5, end: 5 } },
    { trim: { start: -1 } },
    { mute: 'yes' },
    { bitrate: 5 },
  ])('refuse %j', (options) => {
    expect(accepts(options)).toBe(false);
  });

  it.each([
    { container: 'webm', codec: 'av1' },
    { container: 'mov', codec: 'hevc' },
    { container: 'gif', fps: 20, width: 640 },
    { width: 1080, height: 1920, fit: 'cover' },
    { trim: { end: 3 } },
    { fps: 23.976 },
  ])('take %j', (options) => {
    expect(accepts(options)).toBe(true);
  });
});
