import type { ExportJob } from '@export-jobs/client';
import { useExportClient, useExportJob } from '@export-jobs/client/react';
import { useEffect, useRef, useState, type RefObject } from 'react';
import { byHand, CONTAINER_NAMES, jobLine } from '../lib/describe.ts';
import { ago, exactTime, percent } from '../lib/format.ts';
import { useMemory } from '../lib/memory.ts';
import { hrefOf } from '../lib/route.ts';
import { isIndeterminate, STEPS, stepOf } from '../lib/stages.ts';
import { stripOfJob } from '../lib/strip.ts';
import { Thumbnail } from './glow.tsx';
import { Icon } from './icon.tsx';

/** A past or running export. `live` rows follow their job while they are in view. */
export function HistoryRow(props: {
  job: ExportJob;
  live: boolean;
  current: boolean;
  now: number;
  onEnded: () => void;
}) {
  const { live, current, now, onEnded } = props;
  const row = useRef<HTMLLIElement>(null);
  const visible = useVisible(row);
  const watched = useExportJob(live && visible ? props.job.id : null, { initial: props.job });
  const job = watched.job ?? props.job;
  const ended = live && 'completed_at' in job;
  useEffect(() => {
    if (ended) onEnded();
  }, [ended, onEnded]);
  const strip = stripOfJob(job, useMemory(job.id));
  const name = job.filename ?? job.id;
  return (
    <li ref={row} className="row" data-testid="row" data-status={job.status} data-current={current}>
      <Thumbnail strip={strip} label={job.options ? CONTAINER_NAMES[job.options.container] : '—'} />
      <div className="row-text">
        <a className="row-name" href={hrefOf(job.id)} aria-current={current ? 'page' : undefined}>
          {name}
        </a>
        <p className="row-meta">{jobLine(job)}</p>
      </div>
      <RowState job={job} />
      <time
        className="row-time"
        dateTime={new Date(job.created_at).toISOString()}
        title={exactTime(job.created_at)}
      >
        {ago(job.created_at, now)}
      </time>
      <RowAction job={job} name={name} />
    </li>
  );
}

function RowState({ job }: { job: ExportJob }) {
  if (job.status === 'complete') return <p className="badge done">Done</p>;
  if (job.status === 'cancelled') return <p className="badge">Cancelled</p>;
  if (job.status === 'error') {
    return (
      <p className="badge failed" title={job.error}>
        Failed
      </p>
    );
  }
  const step = STEPS.find(({ id }) => id === stepOf(job));
  return (
    <div className="row-progress" data-tone={step?.id} data-indeterminate={isIndeterminate(job)}>
      <p>
        <span>{step?.name}</span>
        <span>{isIndeterminate(job) ? '' : percent(job.progress)}</span>
      </p>
      <progress
        key={job.attempt}
        max={100}
        value={isIndeterminate(job) ? undefined : job.progress}
        aria-label={`Export of ${job.filename ?? job.id}`}
      />
    </div>
  );
}

function RowAction({ job, name }: { job: ExportJob; name: string }) {
  const client = useExportClient();
  if (job.status !== 'complete' || byHand(job)) return <span className="row-action" />;
  return (
    <a
      className="row-action quiet square"
      href={client.downloadUrl(job)}
      download={job.output.filename}
      aria-label={`Download ${name}`}
      title="Download"
    >
      <Icon name="download" />
    </a>
  );
}

function useVisible(ref: RefObject<HTMLElement | null>): boolean {
  const [visible, setVisible] = useState(false);
  useEffect(() => {
    if (ref.current === null) return undefined;
    const observer = new IntersectionObserver((entries) =>
      setVisible(entries.some(({ isIntersecting }) => isIntersecting)),
    );
    observer.observe(ref.current);
    return () => observer.disconnect();
  }, [ref]);
  return visible;
}
