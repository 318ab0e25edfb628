import { ExportOptions } from '@export-jobs/protocol';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import {
  DEFAULTS,
  fromOptions,
  PRESETS,
  presetOf,
  resultSides,
  toOptions,
  withContainer,
} from './settings.ts';
import { validate } from './validate.ts';

const landscape = { duration: 20, width: 1920, height: 1080 };
const portrait = { duration: 20, width: 1080, height: 1920 };

describe('presets', () => {
  it('are all taken by the protocol, whatever the shape of the source', () => {
    for (const { settings } of PRESETS)
      for (const facts of [landscape, portrait, null]) {
        const options = toOptions({ ...DEFAULTS, ...settings }, facts);
        expect(v.safeParse(ExportOptions, options).issues).toBeUndefined();
      }
  });

  it('are recognised again from the options they made', () => {
    for (const preset of PRESETS) {
      const made = toOptions({ ...DEFAULTS, ...preset.settings }, landscape);
      expect(presetOf(fromOptions(v.parse(ExportOptions, made)))?.id).toBe(preset.id);
    }
  });
});

describe('sizes', () => {
  it('count the lines of the shorter side', () => {
    expect(resultSides({ ...DEFAULTS, size: 720 }, landscape)).toEqual([1280, 720]);
    expect(resultSides({ ...DEFAULTS, size: 720 }, portrait)).toEqual([720, 1280]);
  });

  it('never promise more than the source has', () => {
    const small = { duration: 20, width: 1280, height: 719 };
    expect(resultSides({ ...DEFAULTS, size: 1080 }, small)).toEqual([1280, 720]);
  });

  it('hold the longer side of a GIF', () => {
    const gif = withContainer({ ...DEFAULTS, size: 'source' }, 'gif');
    expect(resultSides({ ...gif, size: 'source' }, portrait)).toEqual([360, 640]);
  });
});

describe('changing the container', () => {
  it('keeps the codec when it can and takes the default when it cannot', () => {
    expect(withContainer({ ...DEFAULTS, codec: 'av1' }, 'webm').codec).toBe('av1');
    expect(withContainer(DEFAULTS, 'webm').codec).toBe('vp9');
    expect(withContainer({ ...DEFAULTS, fps: 60 }, 'gif')).toMatchObject({ codec: null, fps: 20 });
  });
});

describe('validate', () => {
  it('names the field that the protocol would refuse', () => {
    const wrong = { ...DEFAULTS, size: 'custom', width: 333, height: null } as const;
    expect(Object.keys(validate(wrong, landscape))).toEqual(['width']);
    expect(validate({ ...DEFAULTS, start: 5, end: 2 }, landscape).trim).toMatch(/after the start/);
    expect(validate({ ...DEFAULTS, start: 25 }, landscape).trim).toMatch(/behind the end/);
    expect(validate(DEFAULTS, landscape)).toEqual({});
  });

  it('asks to trim a long GIF', () => {
    const long = { ...landscape, duration: 40 };
    expect(validate(withContainer(DEFAULTS, 'gif'), long).trim).toMatch(/30 seconds/);
    expect(validate({ ...withContainer(DEFAULTS, 'gif'), end: 30 }, long)).toEqual({});
  });
});
