// The form's own model of an export, and its translation to and from the protocol's options.
import type { ExportOptionsInput } from '@export-jobs/client';
import {
  CODECS_OF,
  codecOf,
  GIF_LIMITS,
  type Codec,
  type Container,
  type ExportOptions,
  type Fit,
} from '@export-jobs/protocol';
import type { Facts } from './source.ts';

export const SIZES = ['source', 2160, 1440, 1080, 720, 480, 'custom'] as const;
export type Size = (typeof SIZES)[number];

/** Times in seconds, sides in pixels; null means that nothing was typed, or "as the source is". */
export interface Settings {
  container: Container;
  codec: Codec | null;
  size: Size;
  width: number | null;
  height: number | null;
  fit: Fit;
  fps: number | null;
  quality: number;
  start: number;
  end: number | null;
  mute: boolean;
}

export const DEFAULTS: Settings = {
  container: 'mp4',
  codec: 'h264',
  size: 1080,
  width: null,
  height: null,
  fit: 'contain',
  fps: null,
  quality: 60,
  start: 0,
  end: null,
  mute: false,
};

export interface Preset {
  id: string;
  name: string;
  hint: string;
  /** Width over height of its picture. */
  shape: number;
  settings: Omit<Settings, 'start' | 'end'>;
}

const { start: _start, end: _end, ...base } = DEFAULTS;

export const PRESETS: readonly Preset[] = [
  { id: 'web', name: 'Web', hint: '1080p, plays everywhere', shape: 16 / 9, settings: base },
  {
    id: 'social',
    name: 'Social',
    hint: 'Vertical, 1080 × 1920',
    shape: 9 / 16,
    settings: { ...base, size: 'custom', width: 1080, height: 1920, fit: 'cover' },
  },
  {
    id: 'small',
    name: 'Small file',
    hint: '480p, for mail and chat',
    shape: 4 / 3,
    settings: { ...base, size: 480, quality: 40 },
  },
  {
    id: 'gif',
    name: 'GIF clip',
    hint: 'Loops, silent, up to 30 s',
    shape: 1,
    settings: { ...base, container: 'gif', codec: null, size: 480, fps: 15, mute: true },
  },
];

/** The preset that the settings equal, trimming aside. */
export function presetOf(settings: Settings): Preset | undefined {
  const { start: _, end: __, ...rest } = settings;
  return PRESETS.find(
    (preset) => JSON.stringify(sorted(preset.settings)) === JSON.stringify(sorted(rest)),
  );
}

const sorted = (record: object) => Object.entries(record).toSorted(([a], [b]) => (a < b ? -1 : 1));

/** Settings after a change of container: the codec, size and rate that it can carry. */
export function withContainer(settings: Settings, container: Container): Settings {
  const codecs = CODECS_OF[container];
  const codec =
    settings.codec !== null && codecs.includes(settings.codec)
      ? settings.codec
      : codecOf({ container });
  if (container !== 'gif') return { ...settings, container, codec };
  const fps = settings.fps === null ? 15 : Math.min(settings.fps, GIF_LIMITS.fps);
  return { ...settings, container, codec, fps, size: 480, mute: true };
}

/** The sides that the server is asked for. A number of lines counts the picture's shorter side. */
function sidesOf(settings: Settings, facts: Facts | null): { width?: number; height?: number } {
  const { size, width, height } = settings;
  if (size === 'source') return settings.container === 'gif' ? gifSide(facts, 640) : {};
  if (size === 'custom') {
    return { ...(width === null ? {} : { width }), ...(height === null ? {} : { height }) };
  }
  if (settings.container === 'gif') return gifSide(facts, size);
  return isPortrait(facts) ? { width: size } : { height: size };
}

// A GIF's limit is on its longer side, so that is the one to name.
function gifSide(facts: Facts | null, size: number): { width?: number; height?: number } {
  const side = Math.min(size, GIF_LIMITS.side);
  return isPortrait(facts) ? { height: side } : { width: side };
}

const isPortrait = (facts: Facts | null) => facts !== null && facts.height > facts.width;

export function toOptions(settings: Settings, facts: Facts | null): ExportOptionsInput {
  const { container, codec, fps, quality, fit, mute, start, end } = settings;
  const trimmed = start > 0 || end !== null;
  return {
    container,
    ...(codec === null ? {} : { codec }),
    ...sidesOf(settings, facts),
    fit,
    ...(fps === null ? {} : { fps }),
    quality,
    ...(trimmed ? { trim: { start, ...(end === null ? {} : { end }) } } : {}),
    mute,
  };
}

/** The form for options that were used before. */
export function fromOptions(options: ExportOptions | null): Settings {
  if (options === null) return DEFAULTS;
  const { container, fit, quality, mute, fps = null, trim } = options;
  return {
    container,
    codec: codecOf(options),
    ...sizeFrom(options.width ?? null, options.height ?? null),
    fit,
    fps,
    quality,
    start: trim?.start ?? 0,
    end: trim?.end ?? null,
    mute,
  };
}

function sizeFrom(
  width: number | null,
  height: number | null,
): Pick<Settings, 'size' | 'width' | 'height'> {
  if (width === null && height === null) return { size: 'source', width, height };
  const line = width === null ? height : height === null ? width : null;
  const size = SIZES.find((known) => known === line);
  return size === undefined
    ? { size: 'custom', width, height }
    : { size, width: null, height: null };
}

const even = (value: number) => Math.max(2, Math.round(value / 2) * 2);

/** The sides of the result as far as they can be told; what the renderer will do with the shape. */
export function resultSides(settings: Settings, facts: Facts | null): [number, number] | null {
  const { width, height } = sidesOf(settings, facts);
  if (width !== undefined && height !== undefined) return [width, height];
  if (facts === null) return null;
  // One side or none never enlarges.
  const scale = Math.min(1, (width ?? Infinity) / facts.width, (height ?? Infinity) / facts.height);
  return [even(facts.width * scale), even(facts.height * scale)];
}

/** Seconds of the result, or null while the source's length is unknown. */
export function resultSeconds(settings: Settings, facts: Facts | null): number | null {
  const end = settings.end ?? facts?.duration ?? null;
  return end === null ? null : Math.max(0, end - settings.start);
}
