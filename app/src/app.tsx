import { useExportHistory } from '@export-jobs/client/react';
import { useCallback, useState } from 'react';
import { BenchView } from './components/bench-view.tsx';
import { History, type Filter } from './components/history.tsx';
import { JobView } from './components/job-view.tsx';
import { TopBar } from './components/top-bar.tsx';
import { useJobInAddress } from './lib/route.ts';
import { useBench } from './lib/use-bench.ts';
import { useFocus } from './lib/use-focus.ts';
import { useIncomingFiles } from './lib/use-incoming-files.ts';

export function App() {
  const jobId = useJobInAddress();
  const [filter, setFilter] = useState<Filter>('all');
  const list = useExportHistory({ limit: 12, status: filter === 'all' ? undefined : filter });
  const bench = useBench();
  useFocus(jobId ?? (bench.source === null ? 'choose' : 'settings'));
  const busy = bench.create.state.phase === 'uploading' || bench.create.state.phase === 'creating';
  const hovering = useIncomingFiles(
    useCallback((file: File) => (busy ? undefined : bench.choose(file)), [busy, bench]),
  );

  return (
    <div className="page" data-hovering={hovering && !busy}>
      <a className="skip" href="#main" onClick={skipToMain}>
        Skip to the content
      </a>
      <TopBar onNew={() => bench.load(null, bench.settings)} />
      <main id="main" tabIndex={-1}>
        {jobId === null ? (
          <BenchView bench={bench} hovering={hovering && !busy} />
        ) : (
          <JobView key={jobId} id={jobId} bench={bench} />
        )}
        <History list={list} filter={filter} onFilter={setFilter} current={jobId} />
      </main>
    </div>
  );
}

// The hash is the router's, so the link must not change it.
function skipToMain(event: { preventDefault(): void }) {
  event.preventDefault();
  document.querySelector<HTMLElement>('#main')?.focus();
}
