import { isEnded, type ExportJob } from '@export-jobs/client';
import { useExportClient, useExportJob } from '@export-jobs/client/react';
import { byHand, CONTAINER_NAMES, jobLine } from '../lib/describe.ts';
import { ago, exactTime, percent } from '../lib/format.ts';
import { useMemory } from '../lib/memory.ts';
import { hrefOf } from '../lib/route.ts';
import { isIndeterminate, shownPercent, STEPS, stepOf } from '../lib/stages.ts';
import { stripOfJob } from '../lib/strip.ts';
import { DeleteButton } from './delete-button.tsx';
import { Thumbnail } from './glow.tsx';
import { Icon } from './icon.tsx';

/** A past or running export, as it is now. */
export function HistoryRow(props: {
  job: ExportJob;
  current: boolean;
  now: number;
  onDeleted: () => void;
}) {
  const { current, now } = props;
  // The open one has a socket of its own, which is faster; the page must not show two numbers of one job.
  const { job: open } = useExportJob(current ? props.job.id : null);
  const job = open !== null && open.seq > props.job.seq ? open : props.job;
  const strip = stripOfJob(job, useMemory(job.id));
  const name = job.filename ?? job.id;
  return (
    <li className="row" data-testid="row" data-status={job.status} data-current={current}>
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
      <RowActions job={job} name={name} onDeleted={props.onDeleted} />
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
        <span>{isIndeterminate(job) ? '' : percent(shownPercent(job))}</span>
      </p>
      <progress
        max={100}
        value={isIndeterminate(job) ? undefined : shownPercent(job)}
        aria-label={`Export of ${job.filename ?? job.id}`}
      />
    </div>
  );
}

function RowActions({
  job,
  name,
  onDeleted,
}: {
  job: ExportJob;
  name: string;
  onDeleted: () => void;
}) {
  const client = useExportClient();
  return (
    <div className="row-actions">
      {job.status === 'complete' && !byHand(job) && (
        <a
          className="quiet square"
          href={client.downloadUrl(job)}
          download={job.output.filename}
          aria-label={`Download ${name}`}
          title="Download"
        >
          <Icon name="download" />
        </a>
      )}
      {isEnded(job) && <DeleteButton id={job.id} name={name} onDeleted={onDeleted} />}
    </div>
  );
}
