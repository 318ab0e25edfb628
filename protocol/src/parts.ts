import * as v from 'valibot';
import { MAX_PARTS } from './constants.ts';

// A large file goes up by parts, be it an owner's upload or a renderer's output.

const PartNumber = v.pipe(v.number(), v.integer(), v.minValue(1), v.maxValue(MAX_PARTS));

/** Which parts are to be sent next; they count from 1. */
export const PartNumbers = v.pipe(v.array(PartNumber), v.minLength(1), v.maxLength(100));

/** `POST /api/uploads/{id}/parts`. */
export const PartsRequest = v.strictObject({ numbers: PartNumbers });
export type PartsRequest = v.InferOutput<typeof PartsRequest>;

/**
 * The answer: `PUT` each part to its `url` before `expires_at`, with `Content-MD5`, and keep the `ETag` of the
 * answer. The addresses may be of another host, which knows no token of ours.
 */
export const PartsReply = v.object({
  parts: v.array(v.object({ number: v.number(), url: v.string() })),
  expires_at: v.number(),
});
export type PartsReply = v.InferOutput<typeof PartsReply>;

/** Every part of a file that is to be put together, in any order. */
export const PartList = v.pipe(
  v.array(
    v.strictObject({
      number: PartNumber,
      etag: v.pipe(v.string(), v.minLength(1), v.maxLength(256)),
    }),
  ),
  v.minLength(1),
  v.maxLength(MAX_PARTS),
  v.check(
    (parts) => new Set(parts.map(({ number }) => number)).size === parts.length,
    'has the same part twice',
  ),
);
export type PartList = v.InferOutput<typeof PartList>;

/**
 * What must come out: the MD5 of the MD5s of all parts, in hex, then `-` and how many there are. R2 reckons the
 * same from the bytes that it has.
 */
export const PartsChecksum = v.pipe(v.string(), v.regex(/^[0-9a-f]{32}-[1-9]\d{0,4}$/));
