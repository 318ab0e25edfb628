import { MAX_FILE_BYTES, MAX_UPLOAD_BYTES } from '@export-jobs/protocol';
import * as v from 'valibot';

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));

const MediaRange = v.pipe(v.string(), v.regex(/^[a-z]+\/([\w.+-]+|\*)$/));

/** What an owner may use. Every limit is told in the refusal of what goes beyond it. */
export const Limits = v.object({
  /** Bytes of one file. */
  max_upload_bytes: v.optional(v.pipe(Count, v.maxValue(MAX_FILE_BYTES)), MAX_UPLOAD_BYTES),
  /** Bytes of all files that are announced in any 24 hours; null for as many as one likes. */
  max_upload_bytes_per_day: v.optional(v.nullable(Count), 1_000_000_000_000),
  /** Types of files that are taken, such as `video/*`. */
  upload_types: v.optional(v.array(MediaRange), [
    'video/*',
    'audio/*',
    'image/gif',
    // Of a file whose type nobody knows, the renderer finds out.
    'application/octet-stream',
  ]),
  /** Jobs that have not ended, at a time. */
  max_live_jobs: v.optional(Count, 500),
  /** Jobs made in any 24 hours. */
  max_jobs_per_day: v.optional(Count, 10_000),
});
export type Limits = v.InferOutput<typeof Limits>;

/** Limits by the name of a plan, which is in each credential; `default` is of those that name none. */
export const Plans = v.record(v.string(), v.strictObject(v.partial(Limits).entries));
export type Plans = v.InferOutput<typeof Plans>;

/** The limits of a plan; one that is not configured has the usual ones. */
export function limitsOf(plans: Plans, plan: string): Limits {
  const own = Object.hasOwn(plans, plan) ? plans[plan] : undefined;
  return v.parse(Limits, { ...plans['default'], ...own });
}
