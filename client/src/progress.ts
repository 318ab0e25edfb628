import type { ExportJob } from '@export-jobs/protocol';
import {
  createElement,
  type ComponentPropsWithoutRef,
  type ReactElement,
  type ReactNode,
} from 'react';
import { useTimeLeft } from './eta-hook.ts';
import type { TimeLeft } from './eta.ts';
import { isEnded } from './guards.ts';

/** What there is to show of a job. */
export interface ProgressShown {
  /** 0–100, a whole number that never rounds up to the end; null when nothing is known. */
  percent: number | null;
  /**
   * Time left, smoothed and counted down: as likely less as more, and with nine chances in ten less; null
   * when not known.
   */
  etaMs: number | null;
  etaP90Ms: number | null;
  status: ExportJob['status'] | null;
}

export interface ExportProgressProps extends Omit<ComponentPropsWithoutRef<'div'>, 'children'> {
  job: ExportJob | null;
  /** What the bar is of, unless `aria-labelledby` says it. By default `Export`. */
  label?: string;
  /** What a screen reader says of the value. */
  valueText?: (shown: ProgressShown) => string;
  /** By default the percentage as text. */
  children?: ReactNode | ((shown: ProgressShown) => ReactNode);
}

/**
 * An accessible progress bar without any style. For styles it has `data-status`, and
 * `data-indeterminate` when nothing is known.
 */
export function ExportProgress(props: ExportProgressProps): ReactElement {
  const { job, label = 'Export', valueText = wordsOf, children = textOf, ...rest } = props;
  const shown = shownOf(job, useTimeLeft(job));
  const { percent } = shown;
  return createElement(
    'div',
    {
      role: 'progressbar',
      'aria-label': label,
      'aria-valuemin': 0,
      'aria-valuemax': 100,
      // Left out when nothing is known: that is how an indeterminate bar is told.
      'aria-valuenow': percent ?? undefined,
      'aria-valuetext': valueText(shown),
      'data-status': shown.status ?? undefined,
      'data-indeterminate': percent === null ? '' : undefined,
      ...rest,
    },
    typeof children === 'function' ? children(shown) : children,
  );
}

function shownOf(job: ExportJob | null, left: TimeLeft | null): ProgressShown {
  const { ms: etaMs = null, p90Ms: etaP90Ms = null } = left ?? {};
  return { percent: percentOf(job), etaMs, etaP90Ms, status: job?.status ?? null };
}

/** Of the whole job; 100 is not shown before the end, whatever a renderer says. */
function percentOf(job: ExportJob | null): number | null {
  if (job === null) return null;
  const percent = job.overall_progress ?? job.progress;
  if (isEnded(job)) return Math.floor(percent);
  return percent === 0 ? null : Math.min(99, Math.floor(percent));
}

const textOf = ({ percent }: ProgressShown): string => (percent === null ? '' : `${percent} %`);

function wordsOf({ percent, etaMs, etaP90Ms, status }: ProgressShown): string {
  if (status === 'complete') return 'done';
  if (status === 'error') return 'failed';
  if (status === 'cancelled') return 'cancelled';
  if (percent === null) return status === 'processing' ? 'starting' : 'waiting';
  if (etaMs === null) return `${percent} percent`;
  return `${percent} percent, ${leftOf(etaMs, etaP90Ms ?? etaMs)}`;
}

/** How much later the later estimate may be and still be left out, as a ratio. */
const CLOSE = 1.5;

/** "about 2 minutes left", or "2 to 5 minutes left" when nobody could say it closer. */
function leftOf(etaMs: number, p90Ms: number): string {
  const [minutes, late] = [Math.round(etaMs / 60_000), Math.round(p90Ms / 60_000)];
  const words = (n: number) => (n === 1 ? 'minute' : 'minutes');
  if (late <= CLOSE * minutes || late === minutes) {
    return minutes < 1 ? 'less than a minute left' : `about ${minutes} ${words(minutes)} left`;
  }
  if (minutes < 1) return `at most about ${late} ${words(late)} left`;
  return `${minutes} to ${late} minutes left`;
}
