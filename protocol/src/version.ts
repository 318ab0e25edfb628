/**
 * The version of everything that crosses a wire in this project.
 *
 * Rules: a change is additive (new field, new message type, new code); a meaning never changes.
 * Raise the number whenever `version.test.ts` says that the wire's hash moved, and add a line here.
 *
 * - 1: the first one.
 * - 2: `wait_reason` of a pending job.
 * - 3: the renderer's socket; `cost`, `tags` and `max_dollars` of a job; `progress` messages carry what a
 *   report can change instead of the whole job, and `seq` tells the percent that was seen.
 * - 4: `overall_progress` and `eta_p90_ms` of a job; `megapixels` of a renderer's report.
 * - 5: rights of viewers' tokens and of keys, `4401`, and the limits of a plan; files by parts; inputs on other
 *   servers, of which a claim tells by `source.kind`, and what may be wrong with them.
 * - 6: an owner may delete a job; `deleted` in the feed; `upload_cut_off` and `upload_limit`; where a plan allows
 *   them, files of more than 5 GiB, in larger parts; `rendered` of a job that is complete.
 * - 7: a feed's token may be of one tag; `batch` of the feed.
 */
export const PROTOCOL_VERSION = 7;
