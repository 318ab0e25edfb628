import * as v from 'valibot';

const Ms = (fallback: number) => v.optional(v.pipe(v.number(), v.minValue(0)), fallback);
const Count = (fallback: number) =>
  v.optional(v.pipe(v.number(), v.integer(), v.minValue(0)), fallback);

/** Every limit that the machine obeys; times in ms. `POLICY` may override any of them. */
export const Policy = v.strictObject({
  /** Attempts that may fail by themselves, in all. */
  max_attempts: Count(3),
  /** Attempts that the platform may lose on top of these. */
  max_losses: Count(5),
  /** Attempts that an outage of storage may cost on top of those. */
  max_outages: Count(20),
  /** A renderer that is silent for this long has lost its attempt; one that is not heard stops too. */
  lease_ms: Ms(90_000),
  /** The same while its socket is open, for the end of that would be told. It stops after `lease_ms` itself. */
  connected_ms: Ms(4 * 60_000),
  /** The same for a job made by hand, whose renderer is a person at a keyboard. */
  manual_lease_ms: Ms(15 * 60_000),
  /** From the hand-over to the first claim: queue and cold start of a GPU. */
  start_ms: Ms(15 * 60_000),
  /** A hand-over whose answer was lost is repeated when nobody has claimed it by then. */
  unknown_ms: Ms(60_000),
  /** When the provider is first asked about a job that waits there; then less and less often. */
  ask_ms: Ms(30_000),
  ask_cap_ms: Ms(5 * 60_000),
  attempt_ms: Ms(60 * 60_000),
  /** Any stage but rendering may take this long. */
  stage_ms: Ms(30 * 60_000),
  /** A renderer that reports but gets nowhere for this long has failed. */
  stall_ms: Ms(5 * 60_000),
  /** How long a last output may still be looked for when its job's own time is up. */
  look_ms: Ms(2 * 60_000),
  job_ms: Ms(6 * 60 * 60_000),
  /** How long the object outlives the end of its job. */
  retention_ms: Ms(7 * 24 * 60 * 60_000),
  /** How often a renderer is asked to report when somebody watches, and when nobody does. */
  report_watched_ms: Ms(1000),
  report_unwatched_ms: Ms(30_000),
  /** The most when it reports by POST: rarer calls would find the object asleep, its memory lost. */
  report_posted_ms: Ms(5000),
  /** Dollars a second of hardware, beside or instead of those of `cost.ts`; `*` is any other. */
  gpu_prices: v.optional(v.record(v.string(), v.pipe(v.number(), v.minValue(0))), {}),
  retry_base_ms: Ms(2000),
  retry_cap_ms: Ms(300_000),
});
export type Policy = v.InferOutput<typeof Policy>;
