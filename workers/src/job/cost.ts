import type { Cost } from '@export-jobs/protocol';
import type { Job, JobIn } from './job.ts';
import type { Policy } from './policy.ts';

// What a job costs, by published prices: an estimate that is on its record, and the limit on it.

/**
 * Dollars a second of RunPod's serverless GPUs (flex workers, docs.runpod.io/serverless, read from the
 * copy of 2025-11 in github.com/runpod/docs), by the name in `RUNPOD_GPU_TYPE_ID`.
 */
const GPU_PRICES: Readonly<Record<string, number>> = {
  'NVIDIA RTX A4000': 0.00016,
  'NVIDIA RTX A4500': 0.00016,
  'NVIDIA RTX 4000 Ada Generation': 0.00016,
  'NVIDIA L4': 0.00019,
  'NVIDIA RTX A5000': 0.00019,
  'NVIDIA GeForce RTX 3090': 0.00019,
  'NVIDIA GeForce RTX 4090': 0.00031,
  'NVIDIA A40': 0.00034,
  'NVIDIA RTX A6000': 0.00034,
  'NVIDIA L40': 0.00053,
  'NVIDIA L40S': 0.00053,
  'NVIDIA RTX 6000 Ada Generation': 0.00053,
  cpu: 0,
};
/** Of hardware that nobody knows: the dearest of the table, so that a limit is kept. */
const UNKNOWN_PRICE = 0.00053;

/** Dollars of a unit of the platform (developers.cloudflare.com, the same prices as in `bench/bill`). */
const PLATFORM_PRICES = { request: 0.15e-6, message: 0.15e-6 / 20, row: 1e-6 } as const;

/** What the object has counted of itself. Uncounted: what it did between its last commit and a sleep. */
export interface Usage {
  /** Calls and alarms, and messages of renderers. */
  requests: number;
  messages: number;
  /** Rows written by the object, and into D1. */
  rows: number;
}

/** Dollars a second of some hardware. */
export function gpuPrice(hardware: string, { gpu_prices }: Policy): number {
  if (Object.hasOwn(gpu_prices, hardware)) return gpu_prices[hardware] ?? UNKNOWN_PRICE;
  if (Object.hasOwn(GPU_PRICES, hardware)) return GPU_PRICES[hardware] ?? UNKNOWN_PRICE;
  return gpu_prices['*'] ?? UNKNOWN_PRICE;
}

/** How long renderers had this job, by hardware, ms; the present one as far as it was heard. */
export function gpuTimes(job: Job, until = job.updatedAt): Readonly<Record<string, number>> {
  if (job.state !== 'running' || job.owner === null) return job.gpu;
  const { hardware, claimedAt } = job;
  const before = Object.hasOwn(job.gpu, hardware) ? (job.gpu[hardware] ?? 0) : 0;
  return { ...job.gpu, [hardware]: before + Math.max(0, Math.round(until - claimedAt)) };
}

/** What the job has used and cost. */
export function costOf(job: Job, usage: Usage, policy: Policy): Cost {
  const gpu = Object.entries(gpuTimes(job)).map(([hardware, ms]) => ({
    hardware,
    ms,
    dollars: rounded((ms / 1000) * gpuPrice(hardware, policy)),
  }));
  const { requests, messages, rows } = usage;
  const { request, message, row } = PLATFORM_PRICES;
  const platform = rounded(requests * request + messages * message + rows * row);
  return {
    dollars: rounded(gpu.reduce((sum, { dollars }) => sum + dollars, platform)),
    gpu,
    platform: { requests, messages, rows, dollars: platform },
  };
}

/** What the renderers of the job have cost until then, dollars. */
export function gpuDollars(job: Job, policy: Policy, until: number): number {
  const times = Object.entries(gpuTimes(job, until));
  return times.reduce((sum, [hardware, ms]) => sum + (ms / 1000) * gpuPrice(hardware, policy), 0);
}

/** Whether nothing more may be spent on the job. */
export function isSpent(job: Job, policy: Policy, now: number): boolean {
  const limit = job.request?.maxDollars ?? null;
  return limit !== null && gpuDollars(job, policy, now) >= limit;
}

/** When the running attempt will have cost as much as the job may, epoch ms. */
export function spendBy(job: JobIn<'running'>, policy: Policy): number {
  const limit = job.request?.maxDollars ?? null;
  const price = gpuPrice(job.hardware, policy);
  if (limit === null || price === 0) return Number.POSITIVE_INFINITY;
  const spentBefore = gpuDollars(job, policy, job.claimedAt);
  return job.claimedAt + Math.max(0, Math.floor(((limit - spentBefore) / price) * 1000));
}

/** To a ten-millionth of a dollar: sums of binary fractions have tails that nobody wants to read. */
function rounded(dollars: number): number {
  return Math.round(dollars * 1e7) / 1e7;
}
