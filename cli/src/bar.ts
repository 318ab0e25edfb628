// Responsible for how progress looks: a line that is drawn over, or plain lines. Pure.
import type { ExportJob } from '@export-jobs/client';
import { overallOf, stageOf } from './describe.ts';
import { formatDuration, type Paint } from './text.ts';

/** What there is to show. */
export interface View {
  /** Null when there is nothing to measure yet. */
  readonly percent: number | null;
  readonly stage: string;
  /** How many times faster than playing. */
  readonly speed: number | null;
  /** When it should be done, epoch ms by the clock here. */
  readonly endsAt: number | null;
  /** Whether this may be old because the connection is lost. */
  readonly isLost: boolean;
}

const LOST = 'the connection is lost, trying again';
const MAX_CELLS = 30;
const MIN_CELLS = 8;

/** @param heardAt when the job was heard to be so, by the clock here: the server's may be minutes apart. */
export function viewOf(job: ExportJob, isLost: boolean, heardAt: number): View {
  const isRunning = job.status === 'processing';
  const percent = overallOf(job);
  return {
    percent: job.status === 'pending' && percent === 0 ? null : percent,
    stage: job.attempt > 1 ? `${stageOf(job)} (attempt ${job.attempt})` : stageOf(job),
    speed: isRunning ? job.speed : null,
    endsAt: isRunning && job.eta_ms !== null ? heardAt + job.eta_ms : null,
    isLost,
  };
}

/**
 * One line of less than `width` characters: what does not fit is left out, the least important
 * first, because a line that wraps cannot be drawn over.
 */
export function renderBar(view: View, now: number, width: number, paint: Paint): string {
  const percent = `${String(Math.floor(view.percent ?? 0)).padStart(3)} %`;
  const words = wordsOf(view, now);
  const fits = () => percent.length + lengthOf(words) <= width - 1;
  while (words.length > 1 && !fits()) words.pop();
  const text = fits() ? words.map((word) => `  ${word}`).join('') : '';
  const room = width - 1 - percent.length - text.length - 1;
  const cells = Math.min(MAX_CELLS, room);
  const drawn = cells < MIN_CELLS ? '' : `${barOf(view.percent ?? 0, cells, paint)} `;
  return `${drawn}${percent}${view.isLost ? paint('yellow', text) : text}`;
}

function barOf(percent: number, cells: number, paint: Paint): string {
  const full = Math.floor((Math.min(100, Math.max(0, percent)) / 100) * cells);
  return paint('green', '█'.repeat(full)) + paint('dim', '░'.repeat(cells - full));
}

function lengthOf(words: readonly string[]): number {
  return words.reduce((sum, word) => sum + word.length + 2, 0);
}

/** The most important first. */
function wordsOf({ stage, speed, endsAt, isLost }: View, now: number): string[] {
  if (isLost) return [LOST, stage];
  return [
    stage,
    ...(endsAt === null ? [] : [`${formatDuration(endsAt - now)} left`]),
    ...(speed === null ? [] : [`${speed.toFixed(1)}x`]),
  ];
}

/** The same as a plain line. */
export function renderLine(view: View, now: number): string {
  const percent = view.percent === null ? '' : `${Math.floor(view.percent)} %  `;
  return `${percent}${wordsOf(view, now).join('  ')}`;
}

/** Equal for two views between which nothing happened that is worth a line in a log. */
export function keyOf({ percent, stage, isLost }: View): string {
  return isLost ? LOST : `${Math.floor((percent ?? -1) / 10)} ${stage}`;
}
