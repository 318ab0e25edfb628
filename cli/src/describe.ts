// Responsible for what is said of a job, to people.
import type { ExportJob, JobStatus } from '@export-jobs/client';
import { clean, formatBytes, formatDuration, formatTime, type Paint } from './text.ts';

const WAITING = {
  dispatch: 'waiting',
  renderer: 'waiting for a renderer',
  retry: 'trying again',
} as const;

/** What happens to a job now, in a few words. */
export function stageOf(job: ExportJob): string {
  if (job.status === 'processing') return clean(job.message ?? job.stage);
  if (job.status !== 'pending') return job.status;
  if (job.wait_reason) return `waiting: ${job.wait_reason.replaceAll('_', ' ')}`;
  return WAITING[job.waiting_for];
}

/** Percent of the whole job: a new attempt takes nothing back. */
export const overallOf = (job: ExportJob): number => job.overall_progress ?? job.progress;

const COLOUR_OF = {
  pending: 'dim',
  processing: 'bold',
  complete: 'green',
  error: 'red',
  cancelled: 'yellow',
} as const satisfies Record<JobStatus, string>;

/** A job in one line of a list. */
export function rowOf(job: ExportJob, paint: Paint): string {
  return [
    job.id,
    paint(COLOUR_OF[job.status], job.status.padEnd(10)),
    `${String(Math.floor(overallOf(job))).padStart(3)} %`,
    formatTime(job.created_at),
    clean(job.filename ?? '-'),
    ...(job.tags.length > 0 ? [paint('dim', clean(job.tags.join(',')))] : []),
  ].join('  ');
}

/** Everything that somebody may want to know of a job, `label  text` a line. */
export function detailsOf(job: ExportJob, paint: Paint): string {
  const rows: [label: string, text: string | null | undefined][] = [
    ['id', job.id],
    ['status', paint(COLOUR_OF[job.status], job.status)],
    ['source', sized(job.filename, job.input_size)],
    ['options', job.options && optionsText(job.options)],
    ['tags', job.tags.join(', ')],
    ['created', formatTime(job.created_at)],
    ['attempt', `${job.attempt} of ${job.max_attempts}`],
    ['cost', job.cost && costText(job)],
    ['retry of', job.retry_of],
    ...statusRows(job),
  ];
  const shown = rows.flatMap(([label, text]) => (text ? [[label, text] as const] : []));
  const width = Math.max(...shown.map(([label]) => label.length));
  return shown.map(([label, text]) => `${paint('dim', label.padEnd(width))}  ${text}`).join('\n');
}

function statusRows(job: ExportJob): [label: string, text: string | null | undefined][] {
  switch (job.status) {
    case 'pending':
      return [
        ['now', stageOf(job)],
        ['failed', job.last_failure && clean(job.last_failure.message)],
      ];
    case 'processing':
      return [
        ['now', `${Math.floor(overallOf(job))} % ${stageOf(job)}`],
        ['left', job.eta_ms === null ? null : formatDuration(job.eta_ms)],
      ];
    case 'complete': {
      const { width, height, duration_ms, filename, size } = job.output;
      return [
        ['ended', formatTime(job.completed_at)],
        ['file', sized(filename, size)],
        ['picture', width && height ? `${width} × ${height}` : null],
        ['length', duration_ms === null ? null : formatDuration(duration_ms)],
        ['link', clean(job.output_url)],
      ];
    }
    case 'error':
      return [
        ['ended', formatTime(job.completed_at)],
        ['reason', `${clean(job.error)} (${job.error_code})`],
      ];
    case 'cancelled':
      return [['ended', formatTime(job.completed_at)]];
  }
}

function sized(name: string | null, size: number | null): string | null {
  if (name === null) return null;
  return size === null ? clean(name) : `${clean(name)} (${formatBytes(size)})`;
}

function optionsText(options: NonNullable<ExportJob['options']>): string {
  return Object.entries(options)
    .filter(([, value]) => value !== undefined && value !== false)
    .map(([name, value]) => `${name} ${typeof value === 'object' ? JSON.stringify(value) : value}`)
    .join(', ');
}

function costText({ cost, max_dollars }: ExportJob): string {
  const spent = `$${(cost?.dollars ?? 0).toFixed(4)}`;
  return max_dollars === null ? spent : `${spent} of at most $${max_dollars}`;
}
