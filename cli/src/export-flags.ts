// Responsible for how an export's options are written on a command line: this one, and that of
// `npm start`, which imports it from here. It knows no ranges: the server's schema judges those.
import type { Codec, Container, ExportOptionsInput, Fit } from '@export-jobs/client';
import { UsageError } from './exit.ts';

const TEXT = { type: 'string' } as const;

/** For `parseArgs`. */
export const EXPORT_FLAGS = {
  format: TEXT,
  codec: TEXT,
  width: TEXT,
  height: TEXT,
  fit: TEXT,
  fps: TEXT,
  quality: TEXT,
  start: TEXT,
  end: TEXT,
  mute: { type: 'boolean' },
} as const;

export const EXPORT_FLAGS_HELP = `  --format FORMAT        mp4, webm, mov or gif (mp4)
  --codec CODEC          h264, hevc, vp9 or av1 (the format's first)
  --width N, --height N  pixels, even (the source's)
  --fit FIT              contain, cover or stretch (contain)
  --fps N                frames a second, at most 60 (the source's)
  --quality N            1 to 100 (60)
  --start S, --end S     seconds of the source (all of it)
  --mute                 without sound`;

/** What `parseArgs` makes of `EXPORT_FLAGS`. */
export type ExportFlags = {
  readonly [name in Exclude<keyof typeof EXPORT_FLAGS, 'mute'>]?: string | undefined;
} & { readonly mute?: boolean | undefined };

// Objects, so that the compiler misses a choice that the protocol has and these have not.
const CONTAINERS: Record<Container, true> = { mp4: true, webm: true, mov: true, gif: true };
const CODECS: Record<Codec, true> = { h264: true, hevc: true, vp9: true, av1: true };
const FITS: Record<Fit, true> = { contain: true, cover: true, stretch: true };

/**
 * The options as the protocol writes them; what was not asked for is not there.
 * @throws UsageError that names the flag.
 */
export function exportOptionsOf(flags: ExportFlags): ExportOptionsInput {
  const number = (name: 'width' | 'height' | 'fps' | 'quality' | 'start' | 'end') =>
    given(name, numberOf(name, flags[name]));
  const trim = { ...number('start'), ...number('end') };
  return {
    ...given('container', choice('format', flags.format, CONTAINERS)),
    ...given('codec', choice('codec', flags.codec, CODECS)),
    ...given('fit', choice('fit', flags.fit, FITS)),
    ...number('width'),
    ...number('height'),
    ...number('fps'),
    ...number('quality'),
    ...(Object.keys(trim).length > 0 ? { trim } : {}),
    ...given('mute', flags.mute),
  };
}

/** @throws UsageError when a text is no plain number. */
export function numberOf(flag: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text);
  throw new UsageError(`--${flag} takes a number, not "${text}"`);
}

/** @throws UsageError that lists what may be chosen. */
export function choice<T extends string>(
  flag: string,
  text: string | undefined,
  choices: Readonly<Record<T, true>>,
): T | undefined {
  if (text === undefined) return undefined;
  const isChoice = (value: string): value is T => Object.hasOwn(choices, value);
  if (isChoice(text)) return text;
  throw new UsageError(`--${flag} must be ${Object.keys(choices).join(' or ')}, not "${text}"`);
}

function given<N extends string, T>(name: N, value: T | undefined): { [name in N]?: T } {
  const named: { [name in N]?: T } = {};
  if (value !== undefined) named[name] = value;
  return named;
}

const FLAG_OF: readonly (readonly [pointer: string, flag: string])[] = [
  ['/options/container', '--format'],
  ['/options/trim/start', '--start'],
  ['/options/trim', '--end'],
  ['/tags', '--tag'],
  ['/max_dollars', '--max-dollars'],
];

/** The flag that a JSON pointer of a refusal is about, or null when there is none. */
export function flagOf(pointer: string): string | null {
  const known = FLAG_OF.find(([start]) => pointer === start || pointer.startsWith(`${start}/`));
  if (known) return known[1];
  const option = /^\/options\/(\w+)$/.exec(pointer)?.[1];
  return option !== undefined && Object.hasOwn(EXPORT_FLAGS, option) ? `--${option}` : null;
}
