import * as v from 'valibot';

interface ProblemRule {
  readonly status: number;
  readonly title: string;
  /** Whether the same request may succeed later. */
  readonly retryable?: true;
  /** Whether a renderer that gets this must stop its work at once. */
  readonly stop?: true;
}

/** Every refusal that the server can give, by its stable code (RFC 9457 `application/problem+json`). */
export const PROBLEMS = {
  invalid_json: { status: 400, title: 'The body is not valid JSON.' },
  job_not_initialised: { status: 400, title: 'No job was initialised under this id.' },
  unauthorized: { status: 401, title: 'Credentials are missing or not valid.' },
  forbidden: { status: 403, title: 'These credentials do not allow this.' },
  origin_not_allowed: { status: 403, title: 'This origin may not open a socket here.' },
  link_expired: { status: 403, title: 'This link has expired or was changed.' },
  not_found: { status: 404, title: 'There is nothing at this address.' },
  key_not_found: { status: 404, title: 'There is no such key.' },
  job_not_found: { status: 404, title: 'There is no such job.' },
  file_not_found: { status: 404, title: 'There is no such file.' },
  upload_not_found: { status: 404, title: 'This upload was given up.' },
  method_not_allowed: { status: 405, title: 'This address does not take this method.' },
  upload_cut_off: {
    status: 408,
    title: 'The body ended before all of its bytes had come.',
    retryable: true,
  },
  cancel_conflict: { status: 409, title: 'The job has already ended in another way.' },
  delete_conflict: { status: 409, title: 'Only a job that has ended can be deleted.' },
  retry_conflict: {
    status: 409,
    title: 'Only a job that failed or was cancelled can be repeated.',
  },
  idempotency_conflict: { status: 409, title: 'This id or key was used for a different request.' },
  too_many_keys: { status: 409, title: 'As many keys are valid as a tenant may have.' },
  upload_exists: { status: 409, title: 'This upload is already finished.' },
  stale_attempt: { status: 409, title: 'This attempt is no longer the current one.', stop: true },
  not_owner: { status: 409, title: 'Another renderer owns this attempt.', stop: true },
  job_finished: { status: 410, title: 'The job has ended.', stop: true },
  length_required: { status: 411, title: 'A Content-Length is required.' },
  output_exists: { status: 412, title: 'This output is already stored.' },
  source_changed: { status: 412, title: 'The source is not the one that was meant.' },
  body_too_large: { status: 413, title: 'The body is larger than this address takes.' },
  upload_too_large: { status: 413, title: 'The file is larger than this plan allows.' },
  upload_type_not_allowed: { status: 415, title: 'This plan takes no files of this type.' },
  unsupported_media_type: { status: 415, title: 'The body must be application/json.' },
  range_not_satisfiable: { status: 416, title: 'The range is outside the file.' },
  invalid_body: { status: 422, title: 'The body does not have the right shape.' },
  invalid_query: { status: 422, title: 'The query does not have the right shape.' },
  input_not_found: { status: 422, title: 'The upload of this job is not there.' },
  input_url_refused: { status: 422, title: 'No input is read from such an address.' },
  upload_mismatch: { status: 422, title: 'The bytes received are not those announced.' },
  checksum_mismatch: {
    status: 422,
    title: 'The bytes received do not have the checksum that came with them.',
    retryable: true,
  },
  output_rejected: { status: 422, title: 'The output is not there or not as reported.' },
  upgrade_required: { status: 426, title: 'This address takes WebSocket upgrades only.' },
  too_many_viewers: {
    status: 429,
    title: 'This job, or feed, has as many viewers as it may.',
    retryable: true,
  },
  rate_limited: { status: 429, title: 'Too many calls in too short a time.', retryable: true },
  too_many_jobs: {
    status: 429,
    title: 'As many jobs are under way as this plan allows.',
    retryable: true,
  },
  daily_limit: {
    status: 429,
    title: 'As many jobs were made in a day as this plan allows.',
    retryable: true,
  },
  upload_limit: {
    status: 429,
    title: 'As many bytes were uploaded in a day as this plan allows.',
    retryable: true,
  },
  internal_error: { status: 500, title: 'Something went wrong here.', retryable: true },
  issuer_unavailable: {
    status: 503,
    title: "The keys of the token's issuer are not reachable.",
    retryable: true,
  },
  not_configured: { status: 503, title: 'The server is not fully configured.' },
  database_unavailable: { status: 503, title: 'The database is not reachable.', retryable: true },
  storage_unavailable: { status: 503, title: 'The file store is not reachable.', retryable: true },
} as const satisfies Record<string, ProblemRule>;

export type ProblemCode = keyof typeof PROBLEMS;

/** The body of every refusal. `errors` points at the wrong fields of a body or query. */
export const Problem = v.object({
  type: v.string(),
  title: v.string(),
  status: v.number(),
  code: v.string(),
  detail: v.optional(v.string()),
  retryable: v.boolean(),
  stop: v.optional(v.boolean()),
  errors: v.optional(v.array(v.object({ pointer: v.string(), detail: v.string() }))),
});
export type Problem = v.InferOutput<typeof Problem>;

/** Builds the body of a refusal. */
export function problem(
  code: ProblemCode,
  extra: Pick<Problem, 'detail' | 'errors'> = {},
): Problem {
  const rule: ProblemRule = PROBLEMS[code];
  return {
    type: `urn:export-jobs:problem:${code}`,
    title: rule.title,
    status: rule.status,
    code,
    retryable: rule.retryable ?? false,
    ...(rule.stop ? { stop: true } : {}),
    ...extra,
  };
}
