import type { ExportJob, WaitReason } from '@export-jobs/client';
import type { TimeLeft } from '@export-jobs/client/react';
import { byHand } from './describe.ts';
import { leftIn, percent } from './format.ts';

/** The steps of an export as the page shows them. */
export const STEPS = [
  { id: 'waiting', name: 'Waiting', now: 'Waiting for a renderer' },
  { id: 'starting', name: 'Starting', now: 'Starting the renderer' },
  { id: 'downloading', name: 'Downloading', now: 'Fetching your video' },
  { id: 'rendering', name: 'Rendering', now: 'Rendering' },
  { id: 'uploading', name: 'Uploading', now: 'Storing the result' },
  { id: 'verifying', name: 'Verifying', now: 'Checking the result' },
  { id: 'done', name: 'Done', now: 'Done' },
] as const;
export type Step = (typeof STEPS)[number]['id'];

/** Where a job stands, or null when it ended without a result. */
export function stepOf(job: ExportJob): Step | null {
  switch (job.status) {
    case 'pending':
      return 'waiting';
    case 'processing':
      return job.stage;
    case 'complete':
      return 'done';
    case 'error':
    case 'cancelled':
      break;
  }
  return null;
}

const WAITS: Readonly<Record<WaitReason, string>> = {
  no_workers: 'No renderer is available right now',
  throttled: 'Waiting for a free GPU',
  unhealthy: 'The renderers cannot start right now',
  starting: 'Starting a renderer',
  busy: 'Every renderer is busy: yours is in line',
};

/** One line on what happens now. `now` is epoch ms. */
export function sentenceOf(job: ExportJob, now: number): string {
  switch (job.status) {
    case 'pending':
      return waitOf(job, now);
    case 'error':
      return 'Failed';
    case 'cancelled':
      return 'Cancelled';
    case 'processing':
    case 'complete':
      return nameOf(job);
  }
}

function waitOf(job: Extract<ExportJob, { status: 'pending' }>, now: number): string {
  if (job.waiting_for === 'dispatch') return 'Handing the job over';
  if (job.waiting_for === 'renderer') return job.wait_reason ? WAITS[job.wait_reason] : nameOf(job);
  const wait = (job.next_attempt_at ?? now) - now;
  return wait > 1000 ? `Trying again in ${Math.ceil(wait / 1000)} s` : 'Trying again';
}

function nameOf(job: ExportJob): string {
  return STEPS.find(({ id }) => id === stepOf(job))?.now ?? '';
}

/** "about 2 minutes left", once anybody can say. */
export function timeLeft(left: TimeLeft | null): string | null {
  return left && leftIn(left.ms, left.p90Ms);
}

/** Of the whole job, 0–100: a new attempt takes nothing back, and 100 is not shown before the end. */
export function shownPercent(job: ExportJob): number {
  const whole = job.overall_progress ?? job.progress;
  return job.status === 'pending' || job.status === 'processing' ? Math.min(99, whole) : whole;
}

/** Whether there is a number to show; before the first progress there is only movement. */
export function isIndeterminate(job: ExportJob): boolean {
  const isLive = job.status === 'pending' || job.status === 'processing';
  return isLive && shownPercent(job) === 0;
}

/** What a screen reader hears at the bar. */
export function spokenProgress(job: ExportJob, left: TimeLeft | null, now: number): string {
  if (isIndeterminate(job)) return sentenceOf(job, now);
  return [percent(shownPercent(job)).replace('%', ' percent'), timeLeft(left)]
    .filter(Boolean)
    .join(', ');
}

/** What the live region says; changes only with the stage, the attempt and each quarter. */
export function announcement(job: ExportJob): string {
  const name = job.filename ?? 'The export';
  if (job.status === 'complete') return `${name} is ${byHand(job) ? 'done' : 'ready to download'}.`;
  if (job.status === 'error') return `${name} failed. ${job.error}`;
  if (job.status === 'cancelled') return `${name} was cancelled.`;
  const quarter = Math.floor(shownPercent(job) / 25) * 25;
  const attempt = job.attempt > 1 ? `Attempt ${job.attempt} of ${job.max_attempts}. ` : '';
  const step = STEPS.find(({ id }) => id === stepOf(job))?.now ?? '';
  return `${attempt}${step}${quarter > 0 ? `, ${quarter} percent` : ''}.`;
}
