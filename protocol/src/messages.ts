import * as v from 'valibot';
import { ExportJob, JOB_STATUSES, Percent } from './job.ts';

/** What a viewer may say. `since` is the last `seq` it has seen. */
export const ClientMessage = v.variant('type', [
  v.object({ type: v.literal('ping') }),
  v.object({
    type: v.literal('subscribe'),
    since: v.optional(v.pipe(v.number(), v.integer(), v.minValue(0))),
  }),
]);
export type ClientMessage = v.InferOutput<typeof ClientMessage>;

const event = {
  job_id: v.string(),
  /** Order of this event in the job's life; a viewer drops a message with a smaller one. */
  seq: v.pipe(v.number(), v.integer(), v.minValue(0)),
  /** The whole job after this event. */
  job: ExportJob,
};

/**
 * What a viewer hears. `status` is any change of status that has no type of its own, and the
 * snapshot that every connection starts with; `complete` and `error` end the stream.
 */
export const WebSocketMessage = v.variant('type', [
  v.object({
    ...event,
    type: v.literal('status'),
    status: v.picklist(JOB_STATUSES),
    progress: Percent,
  }),
  v.object({
    ...event,
    type: v.literal('progress'),
    progress: Percent,
    message: v.optional(v.string()),
  }),
  v.object({ ...event, type: v.literal('complete'), output_url: v.string() }),
  v.object({ ...event, type: v.literal('error'), error: v.string() }),
  v.object({ type: v.literal('pong') }),
]);
export type WebSocketMessage = v.InferOutput<typeof WebSocketMessage>;
/** Any message but the answer to a ping. */
export type JobMessage = Exclude<WebSocketMessage, { type: 'pong' }>;
