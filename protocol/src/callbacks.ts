import * as v from 'valibot';
import { FAILURE_CODES } from './failures.ts';
import { JOB_STATUSES, Percent, STAGES } from './job.ts';
import { KnownOptions } from './options.ts';
import { PartList, PartNumbers, PartsChecksum } from './parts.ts';

const Epoch = v.pipe(v.number(), v.integer(), v.minValue(1));
const Sequence = v.pipe(v.number(), v.integer(), v.minValue(1));
const Count = v.pipe(v.number(), v.integer(), v.minValue(0));
const Hint = v.pipe(v.number(), v.finite(), v.minValue(0));
const Label = v.pipe(v.string(), v.minLength(1), v.maxLength(200));

/** Fields of every call after `claim`: who speaks (`epoch`) and in which order (`seq`, from 1). */
const fence = { epoch: v.optional(Epoch), seq: v.optional(Sequence) };

/** What RunPod carries from the dispatcher to the renderer, as the `input` of its job. */
export const RenderTicket = v.object({
  v: v.literal(1),
  job_id: v.string(),
  attempt: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** `POST {callback_url}/claim|progress|complete|error`, with `Authorization: Bearer {token}`. */
  callback_url: v.pipe(v.string(), v.url()),
  /** Opens this attempt of this job and nothing else. */
  token: v.string(),
});
export type RenderTicket = v.InferOutput<typeof RenderTicket>;

/** The contract's `POST /init` by hand: any job with at least these fields. */
export const InitBody = v.object({
  id: v.pipe(v.string(), v.maxLength(128)),
  status: v.picklist(JOB_STATUSES),
  progress: Percent,
});
export type InitBody = v.InferOutput<typeof InitBody>;

/** `POST /claim`: the first act of a renderer. `nonce` is made anew for each delivery of a ticket. */
export const ClaimBody = v.object({
  nonce: v.pipe(v.string(), v.minLength(8), v.maxLength(64)),
  provider_job_id: v.nullable(Label),
  worker_id: v.nullable(Label),
  /** What it renders on, as the provider names its GPU; without one, `cpu`. For the job's cost. */
  hardware: v.optional(Label, 'cpu'),
});
export type ClaimBody = v.InferOutput<typeof ClaimBody>;

/** An upload. `GET url` with the same bearer token; ranges and `If-Match: etag` are honoured. */
export const OwnSource = v.object({
  kind: v.optional(v.literal('upload'), 'upload'),
  url: v.string(),
  size: Count,
  etag: v.string(),
  filename: v.string(),
});

/**
 * A file on another server. `GET url` without any token, nor on its redirects, and only from public addresses;
 * of more than `max_bytes` nothing is read.
 */
export const ForeignSource = v.object({
  kind: v.literal('url'),
  url: v.string(),
  max_bytes: Count,
  filename: v.string(),
});

/** The answer to `claim`: the work, and the epoch that every later call repeats. Times in ms. */
export const ClaimReply = v.object({
  success: v.literal(true),
  epoch: Epoch,
  /** Without an acknowledged call for this long the renderer must stop by itself. */
  lease_ms: Count,
  next_report_ms: Count,
  options: KnownOptions,
  source: v.variant('kind', [OwnSource, ForeignSource]),
  /** `PUT output.url` with the same bearer token, Content-Length, and the manifest as JSON in
   * `X-Export-Manifest`; a file of more than `parts.size` bytes goes up by parts of that size. */
  output: v.object({
    url: v.string(),
    key: v.string(),
    content_type: v.string(),
    parts: v.optional(v.object({ size: Count })),
  }),
  /**
   * A WebSocket on which the later calls may be made, see `channel.ts`; offered subprotocols
   * `render.v1, bearer.{token}`. Without it, or while it cannot be opened, they are made by POST.
   */
  channel: v.optional(v.object({ url: v.string() })),
});
export type ClaimReply = v.InferOutput<typeof ClaimReply>;
export type OwnSource = v.InferOutput<typeof OwnSource>;
export type ForeignSource = v.InferOutput<typeof ForeignSource>;

/** `POST /progress`. Only `progress` is required. */
export const ProgressBody = v.object({
  ...fence,
  progress: Percent,
  message: v.optional(v.pipe(v.string(), v.maxLength(1000))),
  stage: v.optional(v.picklist(STAGES)),
  fps: v.optional(Hint),
  speed: v.optional(Hint),
  /** Time left by its own reckoning, ms. */
  eta_ms: v.optional(Hint),
  /** The work that it has planned, once it has: frames × width × height of the output, in millions. */
  megapixels: v.optional(Hint),
});
export type ProgressBody = v.InferOutput<typeof ProgressBody>;

/** What the renderer says of the file it stored; the server compares size and hash with R2. */
export const OutputManifest = v.object({
  size: v.pipe(v.number(), v.integer(), v.minValue(1)),
  /** Lower-case hex. */
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
  width: Count,
  height: Count,
  duration_ms: Count,
  frames: Count,
});
export type OutputManifest = v.InferOutput<typeof OutputManifest>;

/** `POST {output.url}`: begins an output by parts. `checksum` is what must come out. */
export const OutputUploadRequest = v.strictObject({
  manifest: OutputManifest,
  checksum: PartsChecksum,
});
export type OutputUploadRequest = v.InferOutput<typeof OutputUploadRequest>;

/** The answer: `upload` names it in the next two calls until `expires_at`. */
export const OutputUploadReply = v.object({ upload: v.string(), expires_at: v.number() });
export type OutputUploadReply = v.InferOutput<typeof OutputUploadReply>;

const Upload = v.pipe(v.string(), v.minLength(1), v.maxLength(2000));

/** `POST {output.url}/parts`; answered with `PartsReply`. */
export const OutputPartsRequest = v.strictObject({ upload: Upload, numbers: PartNumbers });
export type OutputPartsRequest = v.InferOutput<typeof OutputPartsRequest>;

/** `POST {output.url}/complete`: puts the file together. */
export const OutputCompleteRequest = v.strictObject({ upload: Upload, parts: PartList });
export type OutputCompleteRequest = v.InferOutput<typeof OutputCompleteRequest>;

/** `POST /complete`. `manifest` is required of a job that was dispatched. */
export const CompleteBody = v.object({
  ...fence,
  output_video_key: v.pipe(v.string(), v.minLength(1), v.maxLength(1024)),
  manifest: v.optional(OutputManifest),
});
export type CompleteBody = v.InferOutput<typeof CompleteBody>;

/** `POST /error`. `should_retry: false` can only make the server's own rule stricter. */
export const ErrorBody = v.object({
  ...fence,
  error: v.pipe(v.string(), v.minLength(1), v.maxLength(4000)),
  code: v.optional(v.picklist(FAILURE_CODES)),
  should_retry: v.optional(v.boolean()),
});
export type ErrorBody = v.InferOutput<typeof ErrorBody>;

/** The answer to `progress`: how long the lease runs and when to report next, ms. */
export const ReportReply = v.object({
  success: v.literal(true),
  lease_ms: v.optional(Count),
  next_report_ms: v.optional(Count),
});
export type ReportReply = v.InferOutput<typeof ReportReply>;

/** The answer to `error`. */
export const ErrorReply = v.object({ success: v.literal(true), retrying: v.boolean() });
export type ErrorReply = v.InferOutput<typeof ErrorReply>;
