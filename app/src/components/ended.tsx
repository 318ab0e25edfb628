import type { EndedJob } from '@export-jobs/client';
import { useExportClient } from '@export-jobs/client/react';
import { useState } from 'react';
import type { Memory } from '../lib/memory.ts';
import { fromOptions } from '../lib/settings.ts';
import { sourceOfMemory } from '../lib/source.ts';
import type { Bench } from '../lib/use-bench.ts';
import { outputLine } from '../lib/describe.ts';
import { exactTime, roughly } from '../lib/format.ts';
import { Film } from './film.tsx';
import { FilmProgress } from './film-progress.tsx';
import { Glow } from './glow.tsx';
import { Icon } from './icon.tsx';
import { StepList } from './step-list.tsx';

type Complete = Extract<EndedJob, { status: 'complete' }>;
type Failed = Extract<EndedJob, { status: 'error' }>;

export function EndedMonitor({ job, strip }: { job: EndedJob; strip: string | null }) {
  if (job.status === 'complete') return <Result job={job} strip={strip} />;
  return (
    <>
      <div className="monitor off" data-status={job.status}>
        <div className="reading" role={job.status === 'error' ? 'alert' : undefined}>
          <p className="doing" data-testid={job.status === 'error' ? 'error' : 'stage'}>
            {job.status === 'error' ? job.error : 'This export was cancelled.'}
          </p>
          <p className="aside">{job.status === 'error' ? afterwards(job) : 'Nothing was kept.'}</p>
        </div>
      </div>
      <FilmProgress
        strip={strip}
        value={job.progress}
        indeterminate={false}
        label="How far it came"
        text={job.status === 'error' ? 'Failed' : 'Cancelled'}
        tone={job.status}
      />
    </>
  );
}

function afterwards({ attempt, max_attempts }: Failed): string {
  if (attempt < max_attempts) return 'It would fail again in the same way, so it was not repeated.';
  return max_attempts === 1 ? 'There was one attempt.' : `All ${max_attempts} attempts failed.`;
}

function Result({ job, strip }: { job: Complete; strip: string | null }) {
  return (
    <>
      <div className="monitor">
        <Glow strip={strip} at={30} />
        <Player job={job} />
      </div>
      {strip !== null && (
        <div className="film-result">
          <Film strip={strip} />
        </div>
      )}
    </>
  );
}

function Player({ job }: { job: Complete }) {
  const client = useExportClient();
  const [unplayable, setUnplayable] = useState(false);
  const url = client.downloadUrl(job);
  const name = `The finished ${job.output.filename}`;
  if (unplayable) {
    return <p className="no-picture">This browser cannot play the format. Download it to watch.</p>;
  }
  if (job.output.content_type === 'image/gif') {
    return <img className="result" src={url} alt={name} onError={() => setUnplayable(true)} />;
  }
  return (
    <video
      className="result"
      src={url}
      controls
      playsInline
      preload="metadata"
      aria-label={name}
      onError={() => setUnplayable(true)}
    />
  );
}

export function EndedPanel(props: { job: EndedJob; bench: Bench; memory: Memory | null }) {
  const { job, bench } = props;
  // Of an export that another browser made, only the upload is known.
  const upload = job.upload_id ? { uploadId: job.upload_id, facts: null, strip: null } : null;
  const memory = props.memory ?? upload;
  const again = () => {
    const source = memory && sourceOfMemory(job.filename, job.input_size, memory);
    const loaded = bench.source?.uploadId === memory?.uploadId ? bench.source : source;
    bench.load(loaded ?? source, fromOptions(job.options));
  };
  if (job.status === 'complete') return <DonePanel job={job} onAgain={again} />;
  return (
    <>
      {job.status === 'error' && <Details job={job} />}
      <div className="actions">
        <button type="button" className="primary wide" onClick={again}>
          <Icon name="retry" />
          {job.status === 'error' ? 'Try again' : 'Export again'}
        </button>
      </div>
    </>
  );
}

function DonePanel({ job, onAgain }: { job: Complete; onAgain: () => void }) {
  const client = useExportClient();
  const took = job.completed_at - job.created_at;
  return (
    <>
      <StepList job={job} />
      <p className="output" data-testid="output">
        {outputLine(job)}
      </p>
      <p className="reassure" title={exactTime(job.completed_at)}>
        Took {took < 10_000 ? roughly(took) : `about ${roughly(took)}`}
        {job.verified ? ', and the stored file was checked.' : '.'}
      </p>
      <div className="actions">
        <a
          className="primary wide"
          data-testid="download"
          href={client.downloadUrl(job)}
          download={job.output.filename}
        >
          <Icon name="download" />
          Download
        </a>
        <button type="button" className="secondary wide" onClick={onAgain}>
          Export again with other settings
        </button>
      </div>
    </>
  );
}

function Details({ job }: { job: Failed }) {
  const [copied, setCopied] = useState(false);
  const text = `job ${job.id}\nattempt ${job.attempt} of ${job.max_attempts}\ncode ${job.error_code}\nended ${new Date(job.completed_at).toISOString()}`;
  const copy = () => {
    navigator.clipboard.writeText(text).then(
      () => setCopied(true),
      () => setCopied(false),
    );
  };
  return (
    <div className="details">
      <dl>
        <dt>Code</dt>
        <dd>{job.error_code}</dd>
        <dt>Attempt</dt>
        <dd>
          {job.attempt} of {job.max_attempts}
        </dd>
        <dt>Job</dt>
        <dd>{job.id}</dd>
      </dl>
      <button type="button" className="quiet" onClick={copy}>
        <Icon name={copied ? 'check' : 'copy'} />
        {copied ? 'Copied' : 'Copy details'}
      </button>
    </div>
  );
}
