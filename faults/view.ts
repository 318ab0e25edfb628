import * as v from 'valibot';

// What a stranger may rely on of any server of the contract; ours says more, and more is then checked.

/** How a job can end; the contract's own are `complete` and `error`. */
const ENDS = ['complete', 'error', 'cancelled'];

export const JobView = v.looseObject({
  id: v.string(),
  status: v.string(),
  progress: v.nullish(v.number()),
  seq: v.optional(v.number()),
  attempt: v.optional(v.number()),
  max_attempts: v.optional(v.number()),
  retry_count: v.nullish(v.number()),
  error: v.nullish(v.string()),
  error_code: v.optional(v.string()),
  output_video_key: v.nullish(v.string()),
  output_url: v.nullish(v.string()),
  output: v.optional(
    v.looseObject({
      size: v.nullable(v.number()),
      sha256: v.nullable(v.string()),
      frames: v.nullable(v.number()),
    }),
  ),
});
export type JobView = v.InferOutput<typeof JobView>;

export const StatusReply = v.looseObject({
  job: JobView,
  parked: v.optional(v.array(v.unknown()), []),
});
export type StatusReply = v.InferOutput<typeof StatusReply>;

export const Message = v.looseObject({
  type: v.string(),
  status: v.optional(v.string()),
  progress: v.nullish(v.number()),
  seq: v.optional(v.number()),
  /** Of a report, which has no job with it. */
  attempt: v.optional(v.number()),
  output_url: v.optional(v.string()),
  job: v.optional(JobView),
});
export type Message = v.InferOutput<typeof Message>;

/** What a renderer's socket carries: a call, or the answer that names it. */
export const Frame = v.looseObject({ type: v.string(), seq: v.number() });

export function isEnd(status: string): boolean {
  return ENDS.includes(status);
}

/** Parses JSON. @returns null when it is none or of another shape. */
export function parsed<S extends v.GenericSchema>(
  schema: S,
  text: string,
): v.InferOutput<S> | null {
  const result = v.safeParse(v.pipe(v.string(), v.parseJson(), schema), text);
  return result.success ? result.output : null;
}
