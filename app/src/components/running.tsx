import type { ExportJob } from '@export-jobs/client';
import { useCancelExport, useTimeLeft } from '@export-jobs/client/react';
import { useRef, useState } from 'react';
import { number, percent, sentence } from '../lib/format.ts';
import {
  isIndeterminate,
  sentenceOf,
  shownPercent,
  spokenProgress,
  stepOf,
  timeLeft,
} from '../lib/stages.ts';
import type { Strip } from '../lib/strip.ts';
import { useNow } from '../lib/use-now.ts';
import { FilmProgress } from './film-progress.tsx';
import { Glow } from './glow.tsx';
import { StepList } from './step-list.tsx';

type Running = Extract<ExportJob, { status: 'pending' | 'processing' }>;

export function RunningMonitor(props: { job: Running; strip: Strip | null; stale: boolean }) {
  const { job, strip, stale } = props;
  const now = useNow(500);
  const left = useTimeLeft(job);
  const indeterminate = isIndeterminate(job);
  const value = shownPercent(job);
  return (
    <>
      <div className="monitor" data-waiting={job.status === 'pending'}>
        <Glow strip={strip} at={value} />
        <div className="reading">
          <p className="big" data-testid="percent" data-idle={indeterminate}>
            {percent(value)}
          </p>
          <p className="doing" data-testid="stage" data-stage={stepOf(job)}>
            {sentenceOf(job, now)}
          </p>
          <p className="aside">{timeLeft(left) ?? '\u00a0'}</p>
        </div>
        {stale && (
          <p className="stale" data-testid="stale">
            Connection lost. This is the last known state.
          </p>
        )}
      </div>
      <FilmProgress
        strip={strip}
        value={value}
        indeterminate={indeterminate}
        label={`Export of ${job.filename ?? job.id}`}
        text={spokenProgress(job, left, now)}
        tone={stepOf(job) ?? 'waiting'}
      />
    </>
  );
}

export function RunningPanel({ job }: { job: Running }) {
  return (
    <>
      <StepList job={job} />
      {job.status === 'processing' && job.stage === 'rendering' && (
        <dl className="facts">
          <Fact name="Speed" value={job.speed === null ? '–' : `${number(job.speed)}×`} />
          <Fact name="Frames/s" value={job.fps === null ? '–' : number(Math.round(job.fps))} />
        </dl>
      )}
      {job.last_failure !== null && (
        <p className="attempt" data-testid="attempt">
          <strong>
            Attempt {job.attempt} of {job.max_attempts}
          </strong>{' '}
          {sentence(job.last_failure.message)} Starting over.
        </p>
      )}
      <p className="reassure">You can close this tab; the export goes on.</p>
      <Cancel job={job} />
    </>
  );
}

function Fact({ name, value }: { name: string; value: string }) {
  return (
    <div>
      <dt>{name}</dt>
      <dd>{value}</dd>
    </div>
  );
}

/** Work of this length is worth a question before it is thrown away, ms. */
const WORTH_ASKING_MS = 30_000;

function Cancel({ job }: { job: Running }) {
  const cancel = useCancelExport();
  const dialog = useRef<HTMLDialogElement>(null);
  const [state, setState] = useState<'ready' | 'asked'>('ready');
  const [problem, setProblem] = useState<string | null>(null);
  const go = () => {
    dialog.current?.close();
    setState('asked');
    setProblem(null);
    cancel(job.id).catch((error: unknown) => {
      setState('ready');
      setProblem(error instanceof Error ? error.message : String(error));
    });
  };
  const ask = () => {
    const worked = job.started_at === null ? 0 : Date.now() - job.started_at;
    if (worked > WORTH_ASKING_MS) dialog.current?.showModal();
    else go();
  };
  return (
    <div className="actions">
      <button
        type="button"
        className="secondary wide"
        data-testid="cancel"
        disabled={state === 'asked'}
        onClick={ask}
      >
        {state === 'asked' ? 'Cancelling…' : 'Cancel export'}
      </button>
      {problem !== null && (
        <p role="alert" className="alert">
          {problem}
        </p>
      )}
      <dialog ref={dialog} aria-labelledby="cancel-question">
        <h2 id="cancel-question">Cancel this export?</h2>
        <p>What has been rendered so far is thrown away. This cannot be undone.</p>
        <div className="dialog-actions">
          <button type="button" className="secondary" onClick={() => dialog.current?.close()}>
            Keep going
          </button>
          <button type="button" className="danger" onClick={go}>
            Cancel export
          </button>
        </div>
      </dialog>
    </div>
  );
}
