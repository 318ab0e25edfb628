import type { ExportJob } from '@export-jobs/protocol';
import {
  createElement,
  useState,
  type ComponentPropsWithoutRef,
  type ReactElement,
  type ReactNode,
} from 'react';
import { nextEta, type Eta } from './eta.ts';

/** What there is to show of a job. */
export interface ProgressShown {
  /** 0–100, a whole number that never rounds up to the end; null when nothing is known. */
  percent: number | null;
  /** Smoothed; null when nothing is known. */
  etaMs: number | null;
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
  const eta = useEta(job);
  const percent = percentOf(job);
  const shown = { percent, etaMs: eta?.ms ?? null, status: job?.status ?? null };
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

/** Each job that is shown counts once, however often React renders it. */
function useEta(job: ExportJob | null): Eta | null {
  const [eta, setEta] = useState<Eta | null>(() => nextEta(null, job));
  const next = nextEta(eta, job);
  if (next !== eta) setEta(next);
  return next;
}

function percentOf(job: ExportJob | null): number | null {
  if (job === null || job.status === 'pending') return null;
  return job.status === 'processing' && job.progress === 0 ? null : Math.floor(job.progress);
}

const textOf = ({ percent }: ProgressShown): string => (percent === null ? '' : `${percent} %`);

function wordsOf({ percent, etaMs, status }: ProgressShown): string {
  if (status === 'complete') return 'done';
  if (status === 'error') return 'failed';
  if (status === 'cancelled') return 'cancelled';
  if (percent === null) return status === 'processing' ? 'starting' : 'waiting';
  if (etaMs === null) return `${percent} percent`;
  const minutes = Math.round(etaMs / 60_000);
  if (minutes < 1) return `${percent} percent, less than a minute left`;
  return `${percent} percent, about ${minutes} ${minutes === 1 ? 'minute' : 'minutes'} left`;
}
