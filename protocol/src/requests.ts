import * as v from 'valibot';
import { MAX_FILE_BYTES } from './constants.ts';
import { ExportJob, JOB_STATUSES, Tag } from './job.ts';
import { JobMessage } from './messages.ts';
import { ExportOptions } from './options.ts';
import { PartList, PartsChecksum } from './parts.ts';

/** An upload's id: `upl_` and 26 characters of Crockford's base 32, lower case. */
export const UploadId = v.pipe(v.string(), v.regex(/^upl_[0-9a-z]{26}$/));

const Filename = v.pipe(v.string(), v.trim(), v.minLength(1), v.maxLength(255));

/** `POST /api/uploads`. `size` in bytes. Without `content_type` the name's ending tells the type. */
export const UploadRequest = v.strictObject({
  filename: Filename,
  size: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(MAX_FILE_BYTES)),
  content_type: v.optional(v.pipe(v.string(), v.minLength(1), v.maxLength(255))),
});
export type UploadRequest = v.InferOutput<typeof UploadRequest>;

/**
 * The answer: `PUT` the file's bytes to `url` (a path on the same origin) before `expires_at`. With `parts` the
 * file is large: it is to go up in `count` parts, all of `size` bytes but the last, with `token` as bearer.
 */
export const UploadReply = v.object({
  upload_id: v.string(),
  url: v.string(),
  expires_at: v.number(),
  parts: v.optional(v.object({ size: v.number(), count: v.number(), token: v.string() })),
});
export type UploadReply = v.InferOutput<typeof UploadReply>;

/** The answer to the `PUT`, and to `complete`. */
export const UploadedReply = v.object({
  upload_id: v.string(),
  size: v.number(),
  etag: v.string(),
});
export type UploadedReply = v.InferOutput<typeof UploadedReply>;

/** `POST /api/uploads/{id}/complete`. */
export const CompleteUploadRequest = v.strictObject({ parts: PartList, checksum: PartsChecksum });
export type CompleteUploadRequest = v.InferOutput<typeof CompleteUploadRequest>;

/** A file that was uploaded here. */
export const UploadInput = v.strictObject({ upload_id: UploadId });

/**
 * A file on another server, which each attempt's renderer reads from there; `source-url.ts` says which addresses
 * are taken. `filename` is what viewers see, for they never see the address.
 */
export const UrlInput = v.strictObject({
  url: v.pipe(v.string(), v.maxLength(2048)),
  filename: v.optional(Filename),
});

/** `POST /api/jobs`. An `Idempotency-Key` header makes repeats return the first job. */
export const CreateRequest = v.strictObject({
  // By the field that is there, so that what is wrong with the other ones is said of the right kind.
  input: v.lazy((input) =>
    typeof input === 'object' && input !== null && 'url' in input ? UrlInput : UploadInput,
  ),
  options: v.optional(ExportOptions, {}),
  /** Labels to list it by. */
  tags: v.optional(
    v.pipe(
      v.array(Tag),
      v.maxLength(8),
      v.check((tags) => new Set(tags).size === tags.length, 'has the same tag twice'),
    ),
  ),
  /** Stops the export once its renderers have cost this much, dollars. */
  max_dollars: v.optional(v.pipe(v.number(), v.finite(), v.minValue(0.0001), v.maxValue(10_000))),
});
export type CreateRequest = v.InferOutput<typeof CreateRequest>;

/** The answer. `viewer_token` lets a browser watch this one job. */
export const CreateReply = v.object({ job: ExportJob, viewer_token: v.string() });
export type CreateReply = v.InferOutput<typeof CreateReply>;

/** The answer of `GET /api/jobs/{id}` and of `cancel`. */
export const JobReply = v.object({ job: ExportJob });
export type JobReply = v.InferOutput<typeof JobReply>;

/**
 * `GET /api/jobs/{id}?since=&wait=`: the last `seq` that was seen, and how long to wait for more, seconds.
 */
export const PollQuery = v.strictObject({
  since: v.pipe(v.string(), v.regex(/^\d{1,15}$/), v.toNumber()),
  wait: v.optional(v.pipe(v.string(), v.regex(/^\d+$/), v.toNumber(), v.maxValue(60)), '0'),
});
export type PollQuery = v.InferOutput<typeof PollQuery>;

/** Its answer: the job now, and the messages after `since` in order; none when nothing happened. */
export const PollReply = v.object({ job: ExportJob, events: v.array(JobMessage) });
export type PollReply = v.InferOutput<typeof PollReply>;

/** `GET /api/jobs?status=&tag=&limit=&cursor=`, newest first; one of `status` and `tag`. */
export const ListQuery = v.strictObject({
  status: v.optional(v.picklist(JOB_STATUSES)),
  tag: v.optional(Tag),
  limit: v.optional(
    v.pipe(v.string(), v.regex(/^\d+$/), v.toNumber(), v.minValue(1), v.maxValue(100)),
    '20',
  ),
  cursor: v.optional(v.pipe(v.string(), v.maxLength(200))),
});
export type ListQuery = v.InferOutput<typeof ListQuery>;

/**
 * `GET /api/feed`: one socket for all jobs of an owner, of one tag or of all. `status` says which jobs are
 * told of at first; that a job changes is told in any case. `since` is the cursor of the last `ready`;
 * with `batch` several messages may come in one frame.
 */
export const FeedQuery = v.strictObject({
  tag: v.optional(Tag),
  status: v.optional(v.picklist(JOB_STATUSES)),
  since: v.optional(v.pipe(v.string(), v.regex(/^\d{1,15}$/), v.toNumber())),
  batch: v.optional(v.literal('1')),
});
export type FeedQuery = v.InferOutput<typeof FeedQuery>;

/** `POST /api/feed/tokens`: with a tag, of its jobs alone. */
export const FeedTokenRequest = v.strictObject({ tag: v.optional(Tag) });
export type FeedTokenRequest = v.InferOutput<typeof FeedTokenRequest>;

/** Its answer: lets a browser open the feed until `expires_at`, epoch ms. */
export const FeedTokenReply = v.object({ feed_token: v.string(), expires_at: v.number() });
export type FeedTokenReply = v.InferOutput<typeof FeedTokenReply>;

/** A page; `next_cursor` is null on the last one. */
export const ListReply = v.object({
  data: v.array(ExportJob),
  next_cursor: v.nullable(v.string()),
});
export type ListReply = v.InferOutput<typeof ListReply>;
