import { PART_BYTES } from '@export-jobs/protocol';
import type {
  ClaimBody,
  ClaimReply,
  CompleteBody,
  Container,
  ErrorBody,
  Failure,
  InitBody,
  OutputManifest,
  ProgressBody,
} from '@export-jobs/protocol';
import { isEnded } from '../job/job.ts';
import type { Job, JobRequest } from '../job/job.ts';
import { failure } from '../job/attempt.ts';
import type { Caller, Decision, EventOf, JobEvent } from '../job/events.ts';
import { outputContentType, outputFilename } from '../job/project.ts';
import type { Call } from '../lib/calls.ts';
import type { Settings } from '../lib/env.ts';
import { describeOutput, inspectOutput } from '../lib/outputs.ts';
import type { Inspected } from '../lib/outputs.ts';
import { inputKey, isInputKey, outputKey } from '../lib/r2.ts';
import { cleanText, redact } from '../lib/text.ts';
import type { Answer, Renderer } from '../lib/types.ts';

// Responsible for turning the contract's calls into events of the machine, and its decisions into
// answers. Must not decide anything about the job itself.

/** What a call needs of the object. */
export interface Port {
  readonly name: string;
  readonly settings: Settings;
  readonly bucket: R2Bucket;
  /** How often anybody wants to see reports, ms; null when nobody does. */
  readonly watchedEveryMs: number | null;
  apply(event: JobEvent): Decision;
  foresee(event: JobEvent): Decision;
}

/** Answers one call. Nothing is changed by a call that is refused. */
export async function answerCall(port: Port, call: Call, from: Renderer): Promise<Answer> {
  switch (call.name) {
    case 'init':
      return init(port, call.body);
    case 'claim':
      return claim(port, call.body, from);
    case 'progress':
      return progress(port, call.body, from);
    case 'complete':
      return complete(port, call.body, from);
    case 'error':
      return error(port, call.body, from);
  }
}

async function init(port: Port, body: InitBody): Promise<Answer> {
  if (body.id !== port.name) return invalid('/id', 'is not the id of this job');
  if (body.status !== 'pending' && body.status !== 'processing') {
    return invalid('/status', 'a job starts as pending or processing');
  }
  const processing = body.status === 'processing';
  const decision = port.apply({
    type: 'init',
    id: port.name,
    tenant: 'default',
    request: null,
    requestHash: `by-hand ${body.status} ${body.progress}`,
    progress: body.progress,
    processing,
  });
  return decision.kind === 'refused' ? refused(decision) : success();
}

function claim(port: Port, body: ClaimBody, from: Renderer): Answer {
  if (!from) return { ok: false, code: 'unauthorized' };
  const decision = port.apply({
    type: 'claim',
    attempt: from.attempt,
    nonce: body.nonce,
    remoteId: body.provider_job_id,
    workerId: body.worker_id,
    hardware: body.hardware,
  });
  if (decision.kind === 'refused') return refused(decision);
  const { job } = decision;
  const epoch = job.state === 'running' ? job.owner?.epoch : undefined;
  const files = filesOf(job, from.attempt, epoch ?? null);
  if (!files.ok) return files;
  if (!job.request || epoch === undefined) return { ok: false, code: 'not_owner' };
  const { input, options } = job.request;
  const base = `${port.settings.PUBLIC_URL}/api/jobs/${job.id}`;
  const channel = { url: `${base.replace(/^http/, 'ws')}/renderer?epoch=${epoch}` };
  return success({
    epoch,
    channel,
    options,
    source: sourceOf(input, `${base}/source`),
    output: {
      url: `${base}/output/${epoch}`,
      key: files.body.output.key,
      content_type: files.body.output.contentType,
      parts: { size: PART_BYTES },
    },
    ...paceOf(port, true),
  });
}

/** Where a renderer reads: what is not ours is not read by us, and not through us. */
function sourceOf(input: JobRequest['input'], ownUrl: string): ClaimReply['source'] {
  const { kind, filename } = input;
  if (kind === 'url') return { kind, filename, url: input.url, max_bytes: input.maxBytes };
  return { kind, filename, url: ownUrl, size: input.size, etag: `"${input.etag}"` };
}

function progress(port: Port, body: ProgressBody, from: Renderer): Answer {
  const caller = callerOf(body, from);
  if (caller === undefined || (caller && body.seq === undefined)) {
    return invalid('/epoch', 'epoch and seq are required of a renderer');
  }
  const decision = port.apply({
    type: 'progress',
    from: caller,
    bySocket: from?.bySocket === true,
    seq: body.seq ?? 0,
    percent: body.progress,
    ...hintsOf(body),
  });
  if (decision.kind === 'refused') return refused(decision);
  return success(caller ? paceOf(port, from?.bySocket === true) : {});
}

function hintsOf(body: ProgressBody) {
  const { message, stage, fps, speed, eta_ms, megapixels } = body;
  return {
    message: message === undefined ? null : cleanText(message),
    stage: stage ?? null,
    fps: fps ?? null,
    speed: speed ?? null,
    etaMs: eta_ms ?? null,
    megapixels: megapixels ?? null,
  };
}

async function complete(port: Port, body: CompleteBody, from: Renderer): Promise<Answer> {
  const caller = callerOf(body, from);
  if (caller === undefined) return invalid('/epoch', 'epoch is required of a renderer');
  const claimed = completion(body.output_video_key, caller);
  const foreseen = port.foresee(claimed);
  if (foreseen.kind === 'refused') return refused(foreseen);
  if (foreseen.kind === 'unchanged') return success();
  let event = claimed;
  if (caller) {
    const named = nameOutput(foreseen.job, body, caller);
    if (!named.ok) return named;
    port.apply({ type: 'verifying', from: caller, bySocket: from?.bySocket === true });
    const checked = await verify(port, foreseen.job, named.body, caller);
    if (!checked.ok) return checked;
    event = checked.body;
  } else if (isInputKey(body.output_video_key)) {
    return reject('An input cannot be the output.');
  }
  // Reading R2 let other events in, so the decision is made anew on the job as it is now.
  const decision = port.apply(event);
  return decision.kind === 'refused' ? refused(decision) : success();
}

interface NamedOutput {
  key: string;
  container: Container;
  manifest: OutputManifest;
}

/** What is said to be the output, before anything is looked at. */
function nameOutput(
  job: Job,
  { output_video_key, manifest }: CompleteBody,
  caller: NonNullable<Caller>,
): Answer<NamedOutput> {
  const container = job.request?.options.container ?? 'mp4';
  const key = outputKey({ tenant: job.tenant, jobId: job.id, ...caller }, container);
  if (!manifest) return reject('A manifest is required.');
  if (output_video_key !== key) return reject('Not the key of this attempt.');
  return { ok: true, body: { key, container, manifest } };
}

/** Compares the stored file with what the renderer says of it. */
async function verify(
  port: Port,
  job: Job,
  { key, container, manifest }: NamedOutput,
  caller: NonNullable<Caller>,
): Promise<Answer<EventOf<'complete'>>> {
  let inspected: Inspected;
  try {
    inspected = await inspectOutput(port.bucket, key);
  } catch {
    return { ok: false, code: 'storage_unavailable' };
  }
  if (!inspected.ok) return reject(inspected.why);
  const { size, sha256 } = inspected.manifest;
  if (size !== manifest.size || sha256 !== manifest.sha256) return reject('Not the stored file.');
  const output = describeOutput(key, outputFilename(job), container, inspected.manifest);
  return { ok: true, body: { type: 'complete', from: caller, output, verified: true } };
}

function reject(detail: string): Answer<never> {
  return { ok: false, code: 'output_rejected', extra: { detail } };
}

/** An output that nobody has looked at: of a job by hand, or before R2 was asked. */
function completion(key: string, from: Caller): EventOf<'complete'> {
  const unknown = {
    container: null,
    size: null,
    sha256: null,
    width: null,
    height: null,
    duration_ms: null,
    frames: null,
  };
  const filename = key.split('/').at(-1) ?? key;
  const output = { key, filename, content_type: 'application/octet-stream', ...unknown };
  return { type: 'complete', from, output, verified: false };
}

function error(port: Port, body: ErrorBody, from: Renderer): Answer {
  const caller = callerOf(body, from);
  if (caller === undefined) return invalid('/epoch', 'epoch is required of a renderer');
  const decision = port.apply({
    type: 'error',
    from: caller,
    failure: failureOf(body),
    mayRetry: body.should_retry !== false,
  });
  if (decision.kind === 'refused') return refused(decision);
  return success({ retrying: !isEnded(decision.job) });
}

/** A call by hand names no code: all that it says is its text. */
function failureOf({ code, error: text }: ErrorBody): Failure {
  const said = redact(text);
  if (code) return failure(code, said);
  return said === '' ? failure('renderer_error') : { code: 'renderer_error', message: said };
}

/** Undefined when a renderer does not say which epoch it speaks for. */
function callerOf(body: { epoch?: number | undefined }, from: Renderer): Caller | undefined {
  if (!from) return null;
  return body.epoch === undefined ? undefined : { attempt: from.attempt, epoch: body.epoch };
}

/** How long the lease of a renderer is, and how often it is to report, ms. */
export function paceOf({ settings: { POLICY: policy }, watchedEveryMs }: Port, bySocket: boolean) {
  const rare = bySocket
    ? policy.report_unwatched_ms
    : Math.min(policy.report_unwatched_ms, policy.report_posted_ms);
  const next_report_ms =
    watchedEveryMs === null
      ? rare
      : // A renderer by POST learns by the answers alone that it is to stop.
        Math.min(rare, Math.max(policy.report_watched_ms, watchedEveryMs));
  return { lease_ms: policy.lease_ms, next_report_ms };
}

/** The files of one attempt: what its renderer reads, and where the owner of an epoch writes. */
export interface RenderFiles {
  source: { key: string };
  output: { key: string; contentType: string; filename: string };
}

/** The files of an attempt, while it is the current one and, given an epoch, while that owns it. */
export function filesOf(
  job: Job | null,
  attempt: number,
  epoch: number | null,
): Answer<RenderFiles> {
  if (!job?.request || isEnded(job)) return { ok: false, code: 'job_finished' };
  if (attempt !== job.attempt) return { ok: false, code: 'stale_attempt' };
  const current = job.state === 'running' ? job.owner?.epoch : undefined;
  if (epoch !== null && epoch !== current) return { ok: false, code: 'not_owner' };
  const owner = { tenant: job.tenant, jobId: job.id, attempt, epoch: current ?? 0 };
  const key = outputKey(owner, job.request.options.container);
  const output = { key, contentType: outputContentType(job), filename: outputFilename(job) };
  const { input } = job.request;
  // Of a file on another server there is nothing here, under any key.
  const source = { key: input.kind === 'upload' ? input.key : inputKey(job.tenant, job.id) };
  return { ok: true, body: { source, output } };
}

function success(more: object = {}): Answer {
  return { ok: true, body: { success: true, ...more } };
}

function refused(decision: Extract<Decision, { kind: 'refused' }>): Answer<never> {
  return { ok: false, code: decision.code };
}

function invalid(pointer: string, detail: string): Answer<never> {
  return { ok: false, code: 'invalid_body', extra: { errors: [{ pointer, detail }] } };
}
