import { ExportApiError, type ExportJob } from '@export-jobs/client';
import { useExportJob } from '@export-jobs/client/react';
import { byHand, optionsLine } from '../lib/describe.ts';
import { useMemory } from '../lib/memory.ts';
import { announcement, shownPercent } from '../lib/stages.ts';
import { stripOfJob } from '../lib/strip.ts';
import { useTab } from '../lib/tab.ts';
import type { Bench } from '../lib/use-bench.ts';
import { EndedMonitor, EndedPanel } from './ended.tsx';
import { RunningMonitor, RunningPanel } from './running.tsx';

/** One export, from its first second to its file. */
export function JobView({ id, bench }: { id: string; bench: Bench }) {
  const { job, connection, error, stale } = useExportJob(id);
  const ended = connection === 'closed' && error === null;
  useTab(job && !ended ? shownPercent(job) : null, job && tabLabel(job));

  return (
    <>
      <h1 className="hidden" tabIndex={-1}>
        {job?.filename ?? 'Export'}
      </h1>
      {error !== null && <NoJob error={error} />}
      {error === null && job === null && <Connecting />}
      {error === null && job !== null && <Job job={job} stale={stale} bench={bench} />}
    </>
  );
}

function Job({ job, stale, bench }: { job: ExportJob; stale: boolean; bench: Bench }) {
  const memory = useMemory(job.id);
  const strip = stripOfJob(job, memory);
  return (
    <section className="workspace" aria-label="Export">
      <div className="stage-column">
        {isOver(job) ? (
          <EndedMonitor job={job} strip={strip} />
        ) : (
          <RunningMonitor job={job} strip={strip} stale={stale} />
        )}
      </div>
      <div className="panel job-panel">
        <header className="job-head">
          <p className="panel-title">{job.filename ?? job.id}</p>
          <p className="summary">{optionsLine(job.options)}</p>
        </header>
        {isOver(job) ? (
          <EndedPanel job={job} bench={bench} memory={memory} />
        ) : (
          <RunningPanel job={job} />
        )}
      </div>
      <p className="hidden" role="status" aria-live="polite">
        {announcement(job)}
      </p>
    </section>
  );
}

type Over = Extract<ExportJob, { completed_at: number }>;
const isOver = (job: ExportJob): job is Over => 'completed_at' in job;

function tabLabel(job: ExportJob): string {
  const name = job.filename ?? 'Export';
  if (job.status === 'complete') return `${byHand(job) ? 'Done' : 'Ready'} · ${name}`;
  return job.status === 'error' ? `Failed · ${name}` : name;
}

function Connecting() {
  return (
    <section className="workspace empty" aria-busy="true">
      <div className="monitor">
        <p className="no-picture">Looking for the export…</p>
      </div>
    </section>
  );
}

function NoJob({ error }: { error: Error }) {
  const gone = error instanceof ExportApiError && error.status === 404;
  return (
    <section className="workspace empty">
      <div className="monitor">
        <div className="reading" role="alert">
          <p className="doing" data-testid="error">
            {gone ? 'There is no such export.' : error.message}
          </p>
          <p className="aside">
            {gone ? 'It may have been removed, or the address is not complete.' : null}
          </p>
          <a className="secondary" href="#/">
            Make a new export
          </a>
        </div>
      </div>
    </section>
  );
}
