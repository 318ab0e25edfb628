import * as v from 'valibot';

export const CONTAINERS = ['mp4', 'webm', 'mov', 'gif'] as const;
export const CODECS = ['h264', 'hevc', 'vp9', 'av1'] as const;
export const FITS = ['contain', 'cover', 'stretch'] as const;

export type Container = (typeof CONTAINERS)[number];
export type Codec = (typeof CODECS)[number];
export type Fit = (typeof FITS)[number];

/** Which codecs a container carries; the first is its default. A GIF has no codec to choose. */
export const CODECS_OF: Readonly<Record<Container, readonly Codec[]>> = {
  mp4: ['h264', 'hevc', 'av1'],
  webm: ['vp9', 'av1'],
  mov: ['h264', 'hevc'],
  gif: [],
};

/** What the output is served as. Never taken from the renderer or from an uploader. */
export const CONTENT_TYPE_OF: Readonly<Record<Container, string>> = {
  mp4: 'video/mp4',
  webm: 'video/webm',
  mov: 'video/quicktime',
  gif: 'image/gif',
};

/** Largest side in pixels that an export may ask for. */
export const MAX_SIDE = 8192;
/** A GIF grows without bound, so it is held small: side in pixels, frames a second, seconds. */
export const GIF_LIMITS = { side: 640, fps: 20, seconds: 30 } as const;

const Side = v.pipe(
  v.number(),
  v.integer(),
  v.minValue(2),
  v.maxValue(MAX_SIDE),
  v.check((side) => side % 2 === 0, 'must be even'),
);
const Seconds = v.pipe(v.number(), v.finite(), v.minValue(0), v.maxValue(86_400));

/**
 * What the user wants the export to be. Sizes in pixels, times in seconds, quality 1–100
 * (higher is better and bigger). A missing side follows the source's shape; a missing `fps` keeps
 * the source's rate (at most 60). `fit` has the meaning of CSS `object-fit` and matters only when
 * both sides are given.
 */
export const ExportOptions = v.pipe(
  v.strictObject({
    container: v.optional(v.picklist(CONTAINERS), 'mp4'),
    codec: v.optional(v.picklist(CODECS)),
    width: v.optional(Side),
    height: v.optional(Side),
    fit: v.optional(v.picklist(FITS), 'contain'),
    fps: v.optional(v.pipe(v.number(), v.finite(), v.minValue(1), v.maxValue(60))),
    quality: v.optional(v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(100)), 60),
    trim: v.optional(
      v.pipe(
        v.strictObject({ start: v.optional(Seconds, 0), end: v.optional(Seconds) }),
        v.check((t) => t.end === undefined || t.end > t.start, 'must end after it starts'),
      ),
    ),
    mute: v.optional(v.boolean(), false),
  }),
  v.forward(
    v.check(
      (o) => o.codec === undefined || CODECS_OF[o.container].includes(o.codec),
      'is not carried by this container',
    ),
    ['codec'],
  ),
  v.forward(
    v.check(
      (o) => o.container !== 'gif' || o.fps === undefined || o.fps <= GIF_LIMITS.fps,
      `is at most ${GIF_LIMITS.fps} for a GIF`,
    ),
    ['fps'],
  ),
  v.check(
    (o) => o.container !== 'gif' || Math.max(o.width ?? 0, o.height ?? 0) <= GIF_LIMITS.side,
    `a GIF is at most ${GIF_LIMITS.side} pixels wide and high`,
  ),
);
/** The options with every default filled in. */
export type ExportOptions = v.InferOutput<typeof ExportOptions>;

/**
 * The same options where they are read back: accepted once, they are not judged again, so that a job
 * made by a newer or stricter version can still be read.
 */
export const KnownOptions = v.object({
  container: v.picklist(CONTAINERS),
  codec: v.optional(v.picklist(CODECS)),
  width: v.optional(v.number()),
  height: v.optional(v.number()),
  fit: v.picklist(FITS),
  fps: v.optional(v.number()),
  quality: v.number(),
  trim: v.optional(v.object({ start: v.number(), end: v.optional(v.number()) })),
  mute: v.boolean(),
}) satisfies v.GenericSchema<unknown, ExportOptions>;
/** The options as a caller may write them: everything is optional. */
export type ExportOptionsInput = v.InferInput<typeof ExportOptions>;

/** The codec that an export uses, or null for a GIF. */
export function codecOf(options: Pick<ExportOptions, 'container' | 'codec'>): Codec | null {
  return options.codec ?? CODECS_OF[options.container][0] ?? null;
}
