import { ExportOptions } from '@export-jobs/protocol';
import * as v from 'valibot';
import type { JobRequest } from '../src/job/job.ts';
import type { Policy } from '../src/job/policy.ts';
import type { Env } from '../src/lib/env.ts';
import { pretend } from './platform/pretend.ts';

/** What every world exports. */
export const REQUEST: JobRequest = {
  input: { kind: 'upload', key: 'in/acme/upl_1', etag: 'e', size: 10, filename: 'clip.mov' },
  options: v.parse(ExportOptions, {}),
  retryOf: null,
  tags: [],
  maxDollars: null,
};

/** What every renderer runs on, and what a second of that costs. */
export const HARDWARE = 'a GPU';
export const DOLLARS_PER_S = 0.001;

export const SWEEP_MS = 60_000;
/** The cron trigger fails to fire at most this often in a row. */
export const SKIPS = 5;

/** The limits of production with rarer reports, and two sets that are reached sooner. */
const POLICIES: readonly Partial<Policy>[] = [
  { report_unwatched_ms: 25_000, report_watched_ms: 15_000, report_posted_ms: 25_000 },
  {
    lease_ms: 45_000,
    connected_ms: 90_000,
    report_unwatched_ms: 14_000,
    report_watched_ms: 14_000,
    report_posted_ms: 14_000,
    stall_ms: 120_000,
  },
  {
    max_attempts: 2,
    max_losses: 1,
    max_outages: 2,
    lease_ms: 30_000,
    connected_ms: 80_000,
    report_unwatched_ms: 10_000,
    report_watched_ms: 8000,
    report_posted_ms: 10_000,
    start_ms: 60_000,
    attempt_ms: 600_000,
    stage_ms: 120_000,
    stall_ms: 90_000,
    job_ms: 1_200_000,
  },
];

/**
 * The Worker's configuration, once for each set of limits: it is parsed once and kept, so what it
 * binds must always be of the present world.
 */
export function environments(
  world: () => { d1: object; r2: object; stub: object },
): readonly Env[] {
  return POLICIES.map((policy) =>
    pretend<Env>({
      get DB() {
        return world().d1;
      },
      get VIDEOS() {
        return world().r2;
      },
      EXPORT_JOB: { getByName: () => world().stub },
      DEVELOPMENT: '1',
      SIGNING_KEYS: `k1:${'0123456789abcdef'.repeat(4)}`,
      ID_KEY: 'fedcba9876543210'.repeat(4),
      PUBLIC_URL: 'https://export.example',
      RUNPOD_ENDPOINT_URL: 'https://runpod.example/v2/ep',
      RUNPOD_API_KEY: 'test-key',
      POLICY: JSON.stringify({ ...policy, gpu_prices: { [HARDWARE]: DOLLARS_PER_S } }),
    }),
  );
}
