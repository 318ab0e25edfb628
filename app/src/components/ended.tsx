import type { EndedJob, FailureCode } from '@export-jobs/client';
import { useExportClient } from '@export-jobs/client/react';
import { FAILURES } from '@export-jobs/protocol';
import { useState } from 'react';
import type { Memory } from '../lib/memory.ts';
import { fromOptions } from '../lib/settings.ts';
import { sourceOfMemory } from '../lib/source.ts';
import type { Strip } from '../lib/strip.ts';
import type { Bench } from '../lib/use-bench.ts';
import { byHand, outputLine } from '../lib/describe.ts';
import { exactTime, roughly } from '../lib/format.ts';
import { FileButton } from './file-button.tsx';
import { Film } from './film.tsx';
import { FilmProgress } from './film-progress.tsx';
import { Glow } from './glow.tsx';
import { Icon } from './icon.tsx';
import { StepList } from './step-list.tsx';

type Complete = Extract<EndedJob, { status: 'complete' }>;
type Failed = Extract<EndedJob, { status: 'error' }>;

export function EndedMonitor({ job, strip }: { job: EndedJob; strip: Strip | null }) {
  if (job.status === 'complete') {
    return byHand(job) ? <Unchecked /> : <Result job={job} strip={strip} />;
  }
  return (
    <>
      <div className="monitor off" data-status={job.status}>
        <div className="reading" role={job.status === 'error' ? 'alert' : undefined}>
          <p className="doing" data-testid={job.status === 'error' ? 'error' : 'stage'}>
            {job.status === 'error' ? job.error : 'This export was cancelled.'}
          </p>
          <p className="aside">{job.status === 'error' ? afterwards(job) : whatIsKept(job)}</p>
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

function whatIsKept({ upload_id }: EndedJob): string {
  return `No video was made.${upload_id === null ? '' : ' Your upload is kept, so you can export it again.'}`;
}

function afterwards({ attempt, max_attempts, error_code }: Failed): string | null {
  if (error_code === 'job_timeout') return null;
  if (attempt < max_attempts) return 'It would fail again in the same way, so it was not repeated.';
  return max_attempts === 1 ? 'There was one attempt.' : `All ${max_attempts} attempts failed.`;
}

/** A job made by hand: whoever reported its end may have named a file that is not there. */
function Unchecked() {
  return (
    <div className="monitor">
      <div className="reading">
        <p className="doing">This job was made by hand.</p>
        <p className="aside">It was reported as done; nothing was checked.</p>
      </div>
    </div>
  );
}

function Result({ job, strip }: { job: Complete; strip: Strip | null }) {
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
  if (byHand(job)) return <ByHandPanel job={job} />;
  if (job.status === 'complete') return <DonePanel job={job} onAgain={again} />;
  return (
    <>
      {job.status === 'error' && <Details job={job} />}
      <div className="actions">
        {job.status === 'error' ? (
          <Remedy code={job.error_code} onAgain={again} onFile={bench.choose} />
        ) : (
          <button type="button" className="primary wide" onClick={again}>
            <Icon name="retry" />
            Export again
          </button>
        )}
      </div>
    </>
  );
}

/** Permanent failures that the settings cause or can avoid; all others are the file's. */
const CAUSED_BY_SETTINGS: readonly FailureCode[] = [
  'options_invalid',
  'encoder_unavailable',
  'job_timeout',
];

/** What helps after a failure. */
function Remedy(props: { code: FailureCode; onAgain: () => void; onFile: (file: File) => void }) {
  const settings = CAUSED_BY_SETTINGS.includes(props.code);
  if (FAILURES[props.code].retry === 'never' && !settings) {
    return (
      <FileButton className="primary wide" onFile={props.onFile}>
        Choose another file
      </FileButton>
    );
  }
  return (
    <button type="button" className="primary wide" onClick={props.onAgain}>
      <Icon name={settings ? 'sliders' : 'retry'} />
      {settings ? 'Change the settings' : 'Try again'}
    </button>
  );
}

function ByHandPanel({ job }: { job: EndedJob }) {
  const client = useExportClient();
  return (
    <>
      {job.status === 'error' && <Details job={job} />}
      <div className="actions">
        <a className="secondary wide" href="#/">
          Make a new export
        </a>
        {job.status === 'complete' && (
          <a className="quiet" href={client.downloadUrl(job)} download={job.output.filename}>
            Download the file it names
          </a>
        )}
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
        Took {took < 10_000 ? roughly(took) : `about ${roughly(took)}`}, and the stored file was
        checked.
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
  const text = `job ${job.id}\nattempt ${job.attempt}\ncode ${job.error_code}\nended ${new Date(job.completed_at).toISOString()}`;
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
        {job.attempt > 1 && (
          <>
            <dt>Attempt</dt>
            <dd>
              {job.attempt} of {job.max_attempts}
            </dd>
          </>
        )}
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
