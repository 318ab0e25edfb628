import * as v from 'valibot';
import { CompleteBody, ErrorBody, ProgressBody } from './callbacks.ts';
import { Problem } from './problems.ts';

// The renderer's socket (`GET {channel.url}` of the claim's answer): the same calls as by POST, one JSON
// text a frame. A call that is not acknowledged may be repeated, here or by POST, with its `seq`.

const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Sequence = v.pipe(v.number(), v.integer(), v.minValue(1));

/** Who speaks, and which call this is: both are required here. */
const fence = { epoch: Sequence, seq: Sequence };

/** The calls, by their types. */
export const RENDERER_FRAMES = {
  progress: v.object({ ...ProgressBody.entries, ...fence, type: v.literal('progress') }),
  complete: v.object({ ...CompleteBody.entries, ...fence, type: v.literal('complete') }),
  error: v.object({ ...ErrorBody.entries, ...fence, type: v.literal('error') }),
} as const;

/** What a renderer may say: a call, or the bytes of `PING`. */
export const RendererFrame = v.variant('type', [
  RENDERER_FRAMES.progress,
  RENDERER_FRAMES.complete,
  RENDERER_FRAMES.error,
]);
export type RendererFrame = v.InferOutput<typeof RendererFrame>;

/**
 * What a renderer hears. `ack` and `refused` answer the call with that `seq`, in the words of the answer
 * to the same POST. `pace` and `stop` come unasked: report at this rate from now on; stop at once.
 */
export const RendererNotice = v.variant('type', [
  v.object({
    type: v.literal('ack'),
    seq: Sequence,
    lease_ms: v.optional(Count),
    next_report_ms: v.optional(Count),
    retrying: v.optional(v.boolean()),
  }),
  v.object({ type: v.literal('refused'), seq: Sequence, problem: Problem }),
  v.object({ type: v.literal('pace'), lease_ms: Count, next_report_ms: Count }),
  v.object({ type: v.literal('stop'), code: v.string() }),
  v.object({ type: v.literal('pong') }),
]);
export type RendererNotice = v.InferOutput<typeof RendererNotice>;
