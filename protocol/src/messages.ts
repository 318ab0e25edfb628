import * as v from 'valibot';
import { EpochMs, ExportJob, JOB_STATUSES, Percent, STAGES } from './job.ts';

/** What a viewer may say. `since` is the last `seq` it has seen. */
export const ClientMessage = v.variant('type', [
  v.object({ type: v.literal('ping') }),
  v.object({
    type: v.literal('subscribe'),
    since: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  }),
]);
export type ClientMessage = v.InferOutput<typeof ClientMessage>;

const numbered = {
  job_id: v.string(),
  /** Order of this event in the job's life; a viewer drops a message with a smaller one. */
  seq: v.pipe(v.number(), v.integer(), v.minValue(0)),
};
/** With the whole job after this event. */
const event = { ...numbered, job: ExportJob };
const Hint = v.nullable(v.pipe(v.number(), v.finite(), v.minValue(0)));

/**
 * What a viewer hears. `status` is any change of status that has no type of its own, and the
 * snapshot that every connection starts with; `complete` and `error` end the stream. `progress` has
 * only what a report can change of a job that is being processed.
 */
export const JobMessage = v.variant('type', [
  v.object({
    ...event,
    type: v.literal('status'),
    status: v.picklist(JOB_STATUSES),
    progress: Percent,
  }),
  v.object({
    ...numbered,
    type: v.literal('progress'),
    progress: Percent,
    overall_progress: v.optional(v.nullable(Percent), null),
    message: v.optional(v.string()),
    attempt: v.pipe(v.number(), v.integer(), v.minValue(1)),
    stage: v.picklist(STAGES),
    fps: Hint,
    speed: Hint,
    eta_ms: Hint,
    eta_p90_ms: v.optional(Hint, null),
    updated_at: EpochMs,
  }),
  v.object({ ...event, type: v.literal('complete'), output_url: v.string() }),
  v.object({ ...event, type: v.literal('error'), error: v.string() }),
]);
export type JobMessage = v.InferOutput<typeof JobMessage>;

/** The same on a socket, which also answers pings. */
export const WebSocketMessage = v.variant('type', [
  ...JobMessage.options,
  v.object({ type: v.literal('pong') }),
]);
export type WebSocketMessage = v.InferOutput<typeof WebSocketMessage>;

const ofJobs = [
  ...JobMessage.options,
  /** There is no such job any more. */
  v.object({ type: v.literal('deleted'), job_id: v.string() }),
] as const;

/**
 * What the feed of an owner says: of any of its jobs each change of state as a `status` with the whole job
 * and each report; `ready` once all is told that there was to tell, with the cursor to come back with.
 */
export const FeedMessage = v.variant('type', [
  ...ofJobs,
  /** Several of those together, for who asks for that. */
  v.object({ type: v.literal('batch'), messages: v.array(v.variant('type', ofJobs)) }),
  v.object({ type: v.literal('ready'), cursor: EpochMs }),
  v.object({ type: v.literal('pong') }),
]);
export type FeedMessage = v.InferOutput<typeof FeedMessage>;
